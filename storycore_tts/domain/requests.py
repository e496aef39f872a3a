"""What can be asked of the ports. Each request checks itself when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field, fields
from os import PathLike
from pathlib import Path
from uuid import UUID

import numpy as np

from storycore_tts.domain.languages import AUTO, language_named
from storycore_tts.domain.markup import without_markup
from storycore_tts.domain.parameters import check_parameters
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.text import one_line, saying_seconds, speakable, token_budget
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.errors import InvalidReferenceAudio, InvalidRequest, shown
from storycore_tts.sound.decoders import UndecodableAudio
from storycore_tts.sound.files import decode
from storycore_tts.sound.samples import (
    MOST_CLIPPED,
    SAMPLE_RATE,
    Samples,
    clipped_share,
    heard_seconds,
    is_silent,
    peak,
)

_SHORTEST_REFERENCE = 0.5  # s; the codec's padding fails on clips of a few frames
_LONGEST_REFERENCE = 600.0  # s; a reference is a clip, and it is held in memory
_PAD_SECONDS = 0.5  # of silence after a reference
_LOUDEST = 2.0  # lossy codecs overshoot full scale by less
_GOOD_REFERENCE = (3.0, 15.0)  # s; outside it the model swallows words or leaks the reference

# Saying the transcript takes so many times the length of the speech that is heard, at least, and of
# the whole recording, at most. Slow narrators need 1.5 times what is reckoned.
_LEAST_SAID, _MOST_SAID = 0.65, 2.5

# Warnings of those who speak with what does not listen.
INSTRUCT_UNHEARD = "the 0.6B model does not listen to instruct; choose model_choice 1.7B"
CLONE_INSTRUCT_UNHEARD = "this backend's clones do not listen to instruct"


@dataclass(frozen=True)
class SpeechRequest:
    """A line for a built-in voice, or for a voice of your own.

    Args:
        text: What to say; invisible characters are taken out.
        speaker: Name of a voice, in any case. With ``checkpoint``, the fine-tuned speaker's name.
        checkpoint: Folder of a fine-tuned model, **as the backend sees it** (on the ComfyUI
            server's disk, for instance); None for the built-in voices.
        language: A language's name, code or locale; "Auto" lets the model judge.
        instruct: How to say it, in words ("warm, friendly"); the 0.6B models do not listen to it.
        sampling: How the model draws its tokens.
        project: Whose line this is, for a gradual rollout: the same project, the same backend.
        job_id: An id of yours for this job, a UUID: asked again with the same id, a backend that
            still knows the job picks it up instead of doing it twice. None: a fresh one.
        strip_markup: Leave Markdown, tags such as ``<break/>`` and ``[laugh]``, and emoji out of
            the text; without it, a warning of the result names those that may be read aloud.

    Raises:
        InvalidRequest: Nothing to say, too much for the token budget, an empty speaker, a job_id
            that is no UUID.
        UnsupportedLanguage: The model does not speak the language.
    """

    text: str
    speaker: str
    checkpoint: str | None = None
    language: str = AUTO
    instruct: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    project: str = ""
    job_id: str | None = None
    strip_markup: InitVar[bool] = False

    def __post_init__(self, strip_markup: bool) -> None:
        _set(self, text=_text(self.text, strip_markup), language=language_named(self.language))
        _check_job(self)
        _set(self, speaker=one_line("speaker", self.speaker))
        _set(self, instruct=speakable(self.instruct, what="instruct") if self.instruct else "")
        if self.checkpoint is not None:
            _set(self, checkpoint=one_line("checkpoint", self.checkpoint))
        self.token_budget  # noqa: B018 — raises here, before anything is started

    @property
    def token_budget(self) -> int:
        """Talker tokens that this text may cost; see ``domain.text.token_budget``."""
        return token_budget(self.text, limit=self.sampling.max_new_tokens)


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth
class ReferenceAudio:
    """A recording of the voice to clone.

    Args:
        samples: float32, shape (n,), −1..1.
        sample_rate: In Hz.
        transcript: What is said in it, word for word; None when unknown.

    Raises:
        InvalidReferenceAudio: Shorter than 0.5 s, longer than 10 minutes, silent, or not finite.
    """

    samples: Samples
    sample_rate: int = SAMPLE_RATE
    transcript: str | None = None

    def __post_init__(self) -> None:
        try:
            with np.errstate(over="ignore"):  # infinite then, which is refused below
                samples = np.ascontiguousarray(self.samples, dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise InvalidReferenceAudio(
                f"The reference's samples are no array of numbers: {error}.",
                hint="Use ReferenceAudio.from_file or ReferenceAudio.from_bytes for a file.",
            ) from None
        if samples.ndim != 1:
            raise InvalidReferenceAudio(
                f"The reference's samples must have the shape (n,), not {samples.shape}.",
                hint="Average the channels first, or use ReferenceAudio.from_file.",
            )
        if not isinstance(self.sample_rate, int | np.integer) or not (
            4000 <= self.sample_rate <= 384_000
        ):
            raise InvalidReferenceAudio(
                f"A sample rate of {shown(self.sample_rate)} Hz is no whole number from 4000 to "
                "384000."
            )
        if not np.isfinite(samples).all():
            raise InvalidReferenceAudio("The reference holds samples that are not finite numbers.")
        if not _SHORTEST_REFERENCE <= len(samples) / self.sample_rate <= _LONGEST_REFERENCE:
            raise InvalidReferenceAudio(
                f"The reference is {len(samples) / self.sample_rate:.2f} s long.",
                hint="Cloning needs 0.5 s to 10 minutes of speech; 3 to 15 s work best.",
            )
        if peak(samples) > _LOUDEST:
            raise InvalidReferenceAudio(
                f"The reference's samples reach {peak(samples):.0f}; they must lie in −1..1.",
                hint="Divide 16-bit integers by 32768 before you pass them as floats.",
            )
        if is_silent(samples):
            raise InvalidReferenceAudio(
                "The reference is silent: no sample rises above −50 dBFS.",
                hint="Check the recording; normalise it if it is only very quiet.",
            )
        transcript = (self.transcript or "").strip()
        _set(self, samples=samples)
        _set(self, transcript=speakable(transcript, what="transcript") if transcript else None)

    @classmethod
    def from_bytes(
        cls, data: bytes, *, transcript: str | None = None, name: str = "the reference"
    ) -> ReferenceAudio:
        """Decode an audio file held in memory: wav, flac, mp3, ogg, aiff and their kin.

        With the extra ``media`` also m4a, mp4, webm and aac. For recordings of strangers there is
        ``adapters.audio_intake``, which decodes in a process of its own.

        Raises:
            InvalidReferenceAudio: It is no audio, damaged, or nothing that can be cloned.
        """
        try:
            samples, sample_rate = decode(data)
        except UndecodableAudio as error:
            raise InvalidReferenceAudio(
                f"Cannot read {name}: {error}.",
                hint="Convert it to wav or flac (ffmpeg -i reference.amr reference.wav).",
            ) from error
        return cls(samples, sample_rate, transcript)

    @classmethod
    def from_file(
        cls, path: str | PathLike[str], *, transcript: str | None = None
    ) -> ReferenceAudio:
        """Read and decode an audio file on this machine; blocks while it reads.

        Raises:
            InvalidReferenceAudio: No such file, or ``from_bytes`` refuses it.
        """
        try:
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidReferenceAudio(f"Cannot open the reference {path}: {reason}.") from error
        return cls.from_bytes(data, transcript=transcript, name=str(path))

    def padded(self) -> Samples:
        """Return the samples with half a second of silence after them, as a model is given them.

        Without it the reference's last word leaks into the clone.
        """
        pad = np.zeros(int(_PAD_SECONDS * self.sample_rate), np.float32)
        return np.concatenate([self.samples, pad])

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def warnings(self) -> tuple[str, ...]:
        """Say what is likely to spoil a clone of it: its length, clipping, its transcript."""
        found = []
        low, high = _GOOD_REFERENCE
        if not low <= self.duration <= high:
            found.append(
                f"the reference is {self.duration:.1f} s long; {low:.0f} to {high:.0f} s work best"
            )
        clipped = clipped_share(self.samples)
        if clipped > MOST_CLIPPED:
            found.append(
                f"the reference is clipped, {clipped:.1%} of its samples are at full scale: the "
                "clone will sound distorted, too"
            )
        return (*found, *self._doubts_of_transcript())

    def _doubts_of_transcript(self) -> Iterator[str]:
        if self.transcript is None:
            return
        takes = saying_seconds(self.transcript)
        heard = heard_seconds(self.samples, self.sample_rate)
        if takes > self.duration * _MOST_SAID:
            yield (
                f"the transcript takes about {takes:.1f} s to say and the reference is "
                f"{self.duration:.1f} s long: a transcript of other words ruins the clone"
            )
        elif takes < heard * _LEAST_SAID:
            yield (
                f"the transcript takes about {takes:.1f} s to say and {heard:.1f} s of speech are "
                "heard in the reference: words that are missing from it ruin the clone"
            )


@dataclass(frozen=True)
class CloneRequest:
    """A line in the voice of a recording.

    Args:
        text: What to say.
        reference: The recording, with its transcript if there is one.
        x_vector_only: Take the timbre only, from a speaker embedding: needs no transcript, and
            sounds less like the reference.
        language: A language's name, code or locale; "Auto" lets the model judge.
        sampling: How the model draws its tokens.
        checkpoint: Folder of another Base model, as the backend sees it; None for the stock one.
        project: Whose line this is, for a gradual rollout: the same project, the same backend.
        job_id: An id of yours for this job, a UUID: asked again with the same id, a backend that
            still knows the job picks it up instead of doing it twice. None: a fresh one.
        instruct: How to say it, in words, where the backend's clones listen to it; a warning of the
            result says where they do not.
        strip_markup: Leave markup out of the text; see ``SpeechRequest``.

    Raises:
        InvalidRequest: Nothing to say, too much to say, a transcript is missing, or a job_id that
            is no UUID.
        UnsupportedLanguage: The model does not speak the language.
    """

    text: str
    reference: ReferenceAudio
    x_vector_only: bool = False
    language: str = AUTO
    sampling: Sampling = field(default_factory=Sampling)
    checkpoint: str | None = None
    project: str = ""
    job_id: str | None = None
    instruct: str = ""
    strip_markup: InitVar[bool] = False

    def __post_init__(self, strip_markup: bool) -> None:
        _set(self, text=_text(self.text, strip_markup), language=language_named(self.language))
        _check_job(self)
        _set(self, instruct=speakable(self.instruct, what="instruct") if self.instruct else "")
        if self.reference.transcript is None and not self.x_vector_only:
            raise InvalidRequest(
                "Cloning needs to know what is said in the reference.",
                hint="Give its transcript, or choose x_vector_only for the timbre alone.",
            )
        if self.checkpoint is not None:
            _set(self, checkpoint=one_line("checkpoint", self.checkpoint))
        self.token_budget  # noqa: B018 — raises here, before anything is started

    @property
    def token_budget(self) -> int:
        """Talker tokens that this text may cost; see ``domain.text.token_budget``."""
        return token_budget(self.text, limit=self.sampling.max_new_tokens)

    def warnings(self) -> tuple[str, ...]:
        """Say what is likely to spoil the clone."""
        if not self.x_vector_only:
            return self.reference.warnings()
        only = "cloned from the x-vector only, without a transcript: the timbre, not the manner"
        return (only, *self.reference.warnings())


@dataclass(frozen=True)
class TrainingRequest(TrainingParameters):
    """Fine-tune a Base model to one speaker.

    Args:
        dataset: Folder of recordings, each with a .txt of the same name that holds its words, **as
            the backend sees it** (on the ComfyUI server's disk, for instance). The direct backend
            also takes a .jsonl file.
        output_dir: Folder for the checkpoints, as the backend sees it.
        speaker_name: The new voice's name.
        test_text: What the validation samples say.
        language: A language's name, code or locale.
        model_choice: Size of the Base model to start from, "0.6B" or "1.7B".
        project: Whose line this is, for a gradual rollout: the same project, the same backend.
        job_id: An id of yours for this job, a UUID: asked again with the same id, a backend that
            still knows the job picks it up instead of doing it twice. None: a fresh one.

    Raises:
        InvalidRequest: A value out of its range, an empty name or folder, or a job_id that is no
            UUID.
        UnsupportedLanguage: The model does not speak the language.
    """

    dataset: str
    output_dir: str
    speaker_name: str
    test_text: str = "Hello, this is a test of my new voice."
    language: str = "English"
    model_choice: str = "1.7B"
    project: str = field(default="", kw_only=True)
    job_id: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_job(self)
        for name in ("dataset", "output_dir", "speaker_name", "model_choice"):
            _set(self, **{name: one_line(name, getattr(self, name))})
        _set(self, language=language_named(self.language))
        _set(self, test_text=speakable(self.test_text, what="test_text"))
        check_parameters(self, TrainingParameters)


def _text(text: str, strip_markup: bool) -> str:
    """Return a text as it is spoken; first the invisible goes, which could hide markup."""
    return speakable(without_markup(speakable(text))) if strip_markup else speakable(text)


def _check_job(request: SpeechRequest | CloneRequest | TrainingRequest) -> None:
    """Check what says whose job it is and which one, and write the id as ComfyUI takes it."""
    if not isinstance(request.project, str):
        raise InvalidRequest(f"project must be a string, not {type(request.project).__name__}.")
    if request.job_id is not None:
        try:
            _set(request, job_id=str(UUID(request.job_id)))
        except (ValueError, AttributeError, TypeError):
            raise InvalidRequest(
                f"job_id must be a UUID, not {shown(request.job_id)}.",
                hint="str(uuid.uuid4()) makes one.",
            ) from None


def _set(request: object, **values: object) -> None:
    """Write a checked value into a frozen request."""
    known = {f.name for f in fields(request)}  # type: ignore[arg-type]
    for name, value in values.items():
        assert name in known
        object.__setattr__(request, name, value)
