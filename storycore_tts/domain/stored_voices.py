"""User voices stored by name: recordings to clone and fine-tuned checkpoints."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from storycore_tts.domain.consent import Consent, ConsentReference, checkpoint_sha256
from storycore_tts.domain.languages import AUTO, language_named
from storycore_tts.domain.moments import in_utc, utc_now
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio, SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.text import one_line, speakable
from storycore_tts.domain.voices import is_built_in
from storycore_tts.errors import InvalidRequest, shown

_LONGEST_NAME = 64  # characters
_PUNCTUATION = " ._-"

VoiceKind = Literal["clone", "checkpoint"]
"""Kind of a stored voice: a recording to clone, or a fine-tuned model."""


@dataclass(frozen=True)
class StoredVoice:
    """A named voice: either a recording to clone or a fine-tuned checkpoint.

    Args:
        name: 1 to 64 letters, digits, spaces, dots, underscores and hyphens of any script. Case is
            ignored, and spaces equal underscores. The names of the nine built-in voices are
            reserved.
        consent: Who agreed to the use of the voice, and when, in words; a recording needs this or a
            ``consent_record``, of which it is then a summary.
        reference: The recording; without a transcript, only its timbre is used.
        checkpoint: Folder of the fine-tuned model, **as the backend sees it**.
        speaker: Speaker name that the checkpoint was trained with; None: ``name``.
        model_choice: Size of the checkpoint, "0.6B" or "1.7B", for display; None: unknown.
        language: Default language of the voice; None: the configured one.
        instruct: Default manner of speaking, in words; checkpoints only.
        created: Time of creation, with a time zone; stored in UTC.
        consent_record: The consent; it is bound to the recording or to the checkpoint. None: made
            from ``consent``, or the voice has none.

    Raises:
        InvalidRequest: The name is invalid; neither or both of recording and checkpoint are given;
            a recording has no consent, or two; or a value does not apply to this kind of voice.
        UnsupportedLanguage: The model does not support the language.
        ConsentRefused: The consent was given for another recording.
    """

    name: str
    consent: str = ""
    reference: ReferenceAudio | None = None
    checkpoint: str | None = None
    speaker: str | None = None
    model_choice: str | None = None
    language: str | None = None
    instruct: str = ""
    created: datetime = field(default_factory=utc_now)
    consent_record: Consent | None = None

    def __post_init__(self) -> None:
        self._set(name=voice_name(self.name), created=in_utc("created", self.created))
        if self.language is not None:
            self._set(language=language_named(self.language))
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
        self._bind_consent()

    @property
    def kind(self) -> VoiceKind:
        """Kind of the voice."""
        return "checkpoint" if self.reference is None else "clone"

    @property
    def x_vector_only(self) -> bool:
        """Whether a clone uses the speaker embedding only, since there is no transcript."""
        return self.reference is not None and self.reference.transcript is None

    @property
    def reference_sha256(self) -> str:
        """Hash of the recording, or of the checkpoint's name: what a consent is bound to."""
        if self.reference is not None:
            return self.reference.sha256
        assert self.checkpoint is not None
        return checkpoint_sha256(self.checkpoint, self.speaker or self.name)

    @property
    def consent_reference(self) -> ConsentReference | None:
        """The reference to the consent that requests carry; None if there is no consent."""
        record = self.consent_record
        return None if record is None else ConsentReference(self.name, record.id)

    def request(
        self,
        text: str,
        *,
        language: str | None = None,
        instruct: str = "",
        sampling: Sampling | None = None,
        project: str = "",
        purpose: str = "",
        strip_markup: bool = False,
    ) -> SpeechRequest | CloneRequest:
        """Return the request that speaks a line in this voice.

        Args:
            text: The text to speak.
            language: Name, code or locale of a language; None: the default of the voice, or "Auto".
            instruct: How to speak it, in words; "": the default of the voice.
            sampling: Sampling parameters; None: the defaults.
            project: Project of the line, for gradual rollouts and for consents to certain projects.
            purpose: What the line is for.
            strip_markup: Remove markup from the text; see ``SpeechRequest``.

        Raises:
            InvalidRequest: ``instruct`` is given for a recording; clones do not support it.
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
                purpose=purpose,
                voice_consent=self.consent_reference,
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
            purpose=purpose,
            voice_consent=self.consent_reference,
            strip_markup=strip_markup,
        )

    def _bind_consent(self) -> None:
        record = self.consent_record
        if record is None and self.consent:
            record = Consent(self.consent, given=self.created)
        elif record is not None and self.consent not in ("", record.words):
            raise InvalidRequest(
                f"The voice {self.name!r} has two consents.", hint="Give a text or a record."
            )
        if record is not None:
            record = record.bound_to(self.reference_sha256, voice=self.name)
            self._set(consent_record=record, consent=record.words)

    def _check_clone(self) -> None:
        if not isinstance(self.reference, ReferenceAudio):
            raise InvalidRequest(
                f"The reference of {self.name!r} must be a ReferenceAudio, not "
                f"{type(self.reference).__name__}.",
                hint="Create one with ReferenceAudio.from_file(path, transcript=words).",
            )
        if not self.consent and self.consent_record is None:
            raise InvalidRequest(
                f"The voice {self.name!r} cannot be stored without the speaker's consent.",
                hint="Say who agreed, and when: 'my own voice, recorded on 2026-11-20'.",
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
        """Reject a value that only checkpoints support."""
        if value:
            raise InvalidRequest(
                f"The voice {self.name!r} is cloned from a recording and takes no {what}.",
                hint="A clone speaks like its recording; only checkpoints support this.",
            )

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def voice_name(name: str) -> str:
    """Return the name of a voice as it is stored: stripped and normalized (Unicode NFC).

    Raises:
        InvalidRequest: The name is invalid, or it is reserved for a built-in voice.
    """
    if not isinstance(name, str):
        raise InvalidRequest(f"The name of a voice must be a string, not {type(name).__name__}.")
    clean = unicodedata.normalize("NFC", name).strip()
    if (
        len(clean) > _LONGEST_NAME
        or not all(map(_may_stand_in_a_name, clean))
        or not any(map(str.isalnum, clean))
    ):
        raise InvalidRequest(
            f"{shown(name)} is not a valid name for a voice.",
            hint=f"Use 1 to {_LONGEST_NAME} letters, digits, spaces, dots, underscores and "
            "hyphens, with at least one letter or digit.",
        )
    if is_built_in(clean):
        raise InvalidRequest(
            f"{clean!r} is the name of a built-in voice; choose another name.",
            hint="storycore-tts speakers lists the built-in voices.",
        )
    return clean


def name_key(name: str) -> str:
    """Return the key under which all spellings of a name are equal: "Old Mia" -> "old_mia"."""
    folded = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFC", folded).strip().replace(" ", "_")


def _may_stand_in_a_name(character: str) -> bool:
    # Includes marks: many scripts write vowels with them.
    category = unicodedata.category(character)
    return character in _PUNCTUATION or category[0] in "LM" or category == "Nd"
