"""Voices of one's own that are kept by name: recordings to clone, and fine-tuned checkpoints."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from storycore_tts.domain.errors import InvalidRequest, shown
from storycore_tts.domain.languages import AUTO, language_named
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.text import one_line, speakable
from storycore_tts.domain.voices import is_built_in

_LONGEST_NAME = 64  # characters
_PUNCTUATION = " ._-"

VoiceKind = Literal["clone", "checkpoint"]
"""What a stored voice is made of: a recording, or a model that was fine-tuned to it."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class StoredVoice:
    """A voice with a name: either a recording to clone or a fine-tuned checkpoint.

    Args:
        name: 1 to 64 letters, digits, spaces, dots, underscores and hyphens of any script. Case
            makes no difference, nor does a space for an underscore; the nine built-in voices keep
            their names for themselves.
        consent: Who agreed that the voice is used, and when, in words; a recording needs it.
        reference: The recording; one without a transcript gives its timbre only.
        checkpoint: Folder of the fine-tuned model, **as the backend sees it**.
        speaker: The name that the checkpoint's voice was trained under; None: that of this voice.
        model_choice: Size of the checkpoint, "0.6B" or "1.7B", for people to read; None: unknown.
        language: What it speaks unless a line says otherwise; None: as configured.
        instruct: How it speaks unless a line says otherwise, in words; checkpoints only.
        created: When it was made, with a time zone; kept in UTC.

    Raises:
        InvalidRequest: A name that cannot be one, neither or both of recording and checkpoint, no
            consent for a recording, a value that does not go with the kind.
        UnsupportedLanguage: The model does not speak the language.
    """

    name: str
    consent: str = ""
    reference: ReferenceAudio | None = None
    checkpoint: str | None = None
    speaker: str | None = None
    model_choice: str | None = None
    language: str | None = None
    instruct: str = ""
    created: datetime = field(default_factory=_now)

    def __post_init__(self) -> None:
        self._set(name=voice_name(self.name), created=_in_utc(self.created))
        if self.language is not None:
            self._set(language=language_named(self.language))
        if self.consent:
            self._set(consent=speakable(self.consent, what="consent"))
        if self.instruct:
            self._set(instruct=speakable(self.instruct, what="instruct"))
        if (self.reference is None) == (self.checkpoint is None):
            raise InvalidRequest(
                f"The voice {self.name!r} needs either a reference recording or a checkpoint."
            )
        if self.kind == "clone":
            self._check_clone()
        else:
            self._check_checkpoint()

    @property
    def kind(self) -> VoiceKind:
        """What the voice is made of."""
        return "checkpoint" if self.reference is None else "clone"

    @property
    def x_vector_only(self) -> bool:
        """Whether a clone takes the timbre only, for want of a transcript."""
        return self.reference is not None and self.reference.transcript is None

    def request(
        self,
        text: str,
        *,
        language: str | None = None,
        instruct: str = "",
        sampling: Sampling | None = None,
        project: str = "",
        strip_markup: bool = False,
    ) -> SpeechRequest | CloneRequest:
        """Return the request that speaks a line in this voice.

        Args:
            text: What to say.
            language: A language's name, code or locale; None for the voice's own, or "Auto".
            instruct: How to say it, in words; "" for the voice's own way.
            sampling: How the model draws its tokens.
            project: Whose line this is, for a gradual rollout.
            strip_markup: Leave markup out of the text; see ``SpeechRequest``.

        Raises:
            InvalidRequest: An instruct for a recording: clones are not told how to speak.
        """
        language = self.language or AUTO if language is None else language
        sampling = sampling or Sampling()
        if self.reference is None:
            return SpeechRequest(
                text,
                speaker=self.speaker or self.name,
                checkpoint=self.checkpoint,
                language=language,
                instruct=instruct or self.instruct,
                sampling=sampling,
                project=project,
                strip_markup=strip_markup,
            )
        self._refuse("instruct", instruct)
        return CloneRequest(
            text,
            self.reference,
            x_vector_only=self.x_vector_only,
            language=language,
            sampling=sampling,
            project=project,
            strip_markup=strip_markup,
        )

    def _check_clone(self) -> None:
        if not isinstance(self.reference, ReferenceAudio):
            raise InvalidRequest(
                f"The reference of {self.name!r} must be a ReferenceAudio, not "
                f"{type(self.reference).__name__}.",
                hint="ReferenceAudio.from_file(path, transcript=words) makes one.",
            )
        if not self.consent:
            raise InvalidRequest(
                f"The voice {self.name!r} is somebody's: it cannot be stored without consent.",
                hint="Say who agreed to it, and when: 'my own voice, recorded on 2026-11-20'.",
            )
        self._refuse("speaker", self.speaker)
        self._refuse("model_choice", self.model_choice)
        self._refuse("instruct", self.instruct)

    def _check_checkpoint(self) -> None:
        assert self.checkpoint is not None
        self._set(checkpoint=one_line("checkpoint", self.checkpoint))
        self._set(speaker=one_line("speaker", self.name if self.speaker is None else self.speaker))
        if self.model_choice is not None:
            self._set(model_choice=one_line("model_choice", self.model_choice))

    def _refuse(self, what: str, value: str | None) -> None:
        """Refuse what only a fine-tuned checkpoint could listen to."""
        if value:
            raise InvalidRequest(
                f"The voice {self.name!r} is cloned from a recording and takes no {what}.",
                hint="A clone speaks in the manner of its recording; only checkpoints take it.",
            )

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def voice_name(name: str) -> str:
    """Return the name of a voice as it is stored: stripped, and composed (Unicode NFC).

    Raises:
        InvalidRequest: It cannot be one, or a built-in voice has it.
    """
    if not isinstance(name, str):
        raise InvalidRequest(f"The name of a voice is a string, not {type(name).__name__}.")
    clean = unicodedata.normalize("NFC", name).strip()
    if (
        len(clean) > _LONGEST_NAME
        or not all(map(_may_stand_in_a_name, clean))
        or not any(map(str.isalnum, clean))
    ):
        raise InvalidRequest(
            f"{shown(name)} cannot be the name of a voice.",
            hint=f"A name has 1 to {_LONGEST_NAME} letters, digits, spaces, dots, underscores and "
            "hyphens, and at least one letter or digit.",
        )
    if is_built_in(clean):
        raise InvalidRequest(
            f"{clean!r} is a built-in voice; a voice of yours needs another name.",
            hint="storycore-tts speakers lists the built-in ones.",
        )
    return clean


def name_key(name: str) -> str:
    """Return what all spellings of a voice's name have in common: "Old Mia" is "old_mia"."""
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded).strip().replace(" ", "_")


def _may_stand_in_a_name(character: str) -> bool:
    # Marks too: many scripts write vowels with them.
    category = unicodedata.category(character)
    return character in _PUNCTUATION or category[0] in "LM" or category == "Nd"


def _in_utc(moment: datetime) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidRequest(
            f"created must be a datetime with a time zone, not {shown(moment)}.",
            hint="datetime.now(timezone.utc) makes one.",
        )
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:  # the first or the last day that there is
        raise InvalidRequest(f"created is {moment}, which UTC cannot express.") from None
