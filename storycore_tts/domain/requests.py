"""Requests to the ports. Each validates itself on creation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field, fields
from functools import cached_property
from hashlib import sha256
from os import PathLike
from pathlib import Path
from uuid import UUID

import numpy as np

from storycore_tts.domain.consent import ConsentReference
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
_GOOD_REFERENCE = (3.0, 15.0)  # s; outside it the model drops words or leaks the reference

# Plausible range of the estimated time to say the transcript: at least this multiple of the speech
# in the recording, and at most this multiple of the whole recording. Slow narrators need 1.5 times
# the estimate.
_LEAST_SAID, _MOST_SAID = 0.65, 2.5

# Warnings when a backend ignores ``instruct``.
INSTRUCT_UNHEARD = "the 0.6B model ignores instruct; choose model_choice 1.7B"
CLONE_INSTRUCT_UNHEARD = "this backend's clones ignore instruct"


@dataclass(frozen=True)
class SpeechRequest:
    """A line to speak with a built-in or fine-tuned voice.

    Args:
        text: Text to speak; invisible characters are removed.
        speaker: Name of a voice, in any case. With ``checkpoint``, the fine-tuned speaker's name.
        checkpoint: Folder of a fine-tuned model, **as the backend sees it** (on the ComfyUI
            server's disk, for instance); None for the built-in voices.
        language: Language name, code or locale; "Auto" lets the model detect it.
        instruct: Style instruction in natural language ("warm, friendly"); the 0.6B models ignore
            it.
        sampling: Sampling parameters.
        project: Name of the project; a gradual rollout keeps each project on one backend.
        job_id: UUID of the job. If the backend still knows a job with this id, it resumes that job
            instead of starting a new one. None: a new id.
        purpose: What the line is for, such as "trailer"; some consents cover certain purposes only.
        voice_consent: The consent of the stored voice; None: it is not a stored voice, or has none.
        strip_markup: Remove Markdown, tags such as ``<break/>`` and ``[laugh]``, and emoji from the
            text; otherwise, a warning of the result lists those that may be read aloud.

    Raises:
        InvalidRequest: The text is empty or exceeds the token budget, the speaker is empty, or
            job_id is not a UUID.
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
    purpose: str = field(default="", kw_only=True)
    voice_consent: ConsentReference | None = field(default=None, kw_only=True)
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


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class ReferenceAudio:
    """A recording of the voice to clone.

    Args:
        samples: float32, shape (n,), −1..1.
        sample_rate: Sample rate in Hz.
        transcript: Verbatim transcript; None if unknown.

    Raises:
        InvalidReferenceAudio: Shorter than 0.5 s, longer than 10 minutes, silent, or not finite.
    """

    samples: Samples
    sample_rate: int = SAMPLE_RATE
    transcript: str | None = None

    def __post_init__(self) -> None:
        try:
            with np.errstate(over="ignore"):  # becomes infinite, which is rejected below
                samples = np.ascontiguousarray(self.samples, dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise InvalidReferenceAudio(
                f"The reference's samples are not an array of numbers: {error}.",
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
                f"The sample rate must be an integer from 4000 to 384000 Hz, not "
                f"{shown(self.sample_rate)}."
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
        """Decode an audio file held in memory: wav, flac, mp3, ogg, aiff and similar formats.

        The extra ``media`` adds m4a, mp4, webm and aac. For untrusted recordings, use
        ``adapters.audio_intake``, which decodes in a separate process.

        Args:
            data: Contents of the file.
            transcript: Verbatim transcript; None if unknown.
            name: Name of the file in error messages.

        Raises:
            InvalidReferenceAudio: The file is not audio, is damaged, or cannot be cloned.
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
        """Read and decode a local audio file; blocks while it reads.

        Args:
            path: Path of the file.
            transcript: Verbatim transcript; None if unknown.

        Raises:
            InvalidReferenceAudio: The file cannot be read, is not audio, or cannot be cloned.
        """
        try:
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InvalidReferenceAudio(f"Cannot open the reference {path}: {reason}.") from error
        return cls.from_bytes(data, transcript=transcript, name=str(path))

    def padded(self) -> Samples:
        """Return the samples followed by half a second of silence, for use by a model.

        Without the silence, the last word of the reference leaks into the clone.
        """
        pad = np.zeros(int(_PAD_SECONDS * self.sample_rate), np.float32)
        return np.concatenate([self.samples, pad])

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    @cached_property
    def sha256(self) -> str:
        """Hash of the sample rate and the samples, in hexadecimal digits; blocks for long ones."""
        rate = f"{self.sample_rate}:".encode()
        return sha256(rate + self.samples.astype("<f4", copy=False).tobytes()).hexdigest()

    def warnings(self) -> tuple[str, ...]:
        """Warnings about the quality of a clone: duration, clipping and transcript."""
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
    """A line to speak in a voice cloned from a recording.

    Args:
        text: Text to speak.
        reference: The recording, with its transcript if available.
        x_vector_only: Clone the timbre only, from a speaker embedding. Needs no transcript, but
            sounds less like the reference.
        language: Language name, code or locale; "Auto" lets the model detect it.
        sampling: Sampling parameters.
        checkpoint: Folder of another Base model, as the backend sees it; None: the stock one.
        project: Name of the project; a gradual rollout keeps each project on one backend.
        job_id: UUID of the job. If the backend still knows a job with this id, it resumes that job
            instead of starting a new one. None: a new id.
        instruct: Style instruction in natural language. If the backend ignores it for clones, the
            result has a warning.
        consent: Who agreed to the use of the recording, and when, in words; "": not stated. See
            ``tts.qwen.consent.at_once``.
        purpose: What the line is for, such as "trailer"; some consents cover certain purposes only.
        voice_consent: The consent of the stored voice; None: the recording is no stored voice.
        strip_markup: Remove markup from the text; see ``SpeechRequest``.

    Raises:
        InvalidRequest: The text is empty or too long, the transcript is missing, or job_id is not a
            UUID.
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
    consent: str = field(default="", kw_only=True)
    purpose: str = field(default="", kw_only=True)
    voice_consent: ConsentReference | None = field(default=None, kw_only=True)
    strip_markup: InitVar[bool] = False

    def __post_init__(self, strip_markup: bool) -> None:
        _set(self, text=_text(self.text, strip_markup), language=language_named(self.language))
        _check_job(self)
        _set(self, instruct=speakable(self.instruct, what="instruct") if self.instruct else "")
        _set(self, consent=speakable(self.consent, what="consent") if self.consent else "")
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
        """Warnings about the quality of the clone."""
        if not self.x_vector_only:
            return self.reference.warnings()
        only = "cloned from the x-vector only, without a transcript: the timbre, not the manner"
        return (only, *self.reference.warnings())


@dataclass(frozen=True)
class TrainingRequest(TrainingParameters):
    """A request to fine-tune a Base model to one speaker.

    Args:
        dataset: Folder of recordings, each with its transcript in a .txt file of the same name,
            **as the backend sees it** (on the ComfyUI server's disk, for instance). The direct
            backend also accepts a .jsonl file.
        output_dir: Folder for the checkpoints, as the backend sees it.
        speaker_name: Name of the new voice.
        test_text: Text of the validation samples.
        language: Language name, code or locale.
        model_choice: Size of the Base model to start from, "0.6B" or "1.7B".
        project: Name of the project; a gradual rollout keeps each project on one backend.
        job_id: UUID of the job. If the backend still knows a job with this id, it resumes that job
            instead of starting a new one. None: a new id.

    Raises:
        InvalidRequest: A value is out of range, a name or folder is empty, or job_id is not a UUID.
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


def voice_of(request: SpeechRequest | CloneRequest) -> str:
    """Return the name of the voice of a line: a stored voice's own name; "" for a recording.

    Args:
        request: The line.
    """
    if request.voice_consent is not None:
        return request.voice_consent.voice
    return request.speaker if isinstance(request, SpeechRequest) else ""


def _text(text: str, strip_markup: bool) -> str:
    """Return the text to speak. Invisible characters go first, because they could hide markup."""
    return speakable(without_markup(speakable(text))) if strip_markup else speakable(text)


def _check_job(request: SpeechRequest | CloneRequest | TrainingRequest) -> None:
    """Validate project, purpose and job_id, and convert the id to the form that ComfyUI accepts."""
    for name in ("project", "purpose"):
        value = getattr(request, name, "")
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} must be a string, not {type(value).__name__}.")
    if request.job_id is not None:
        try:
            _set(request, job_id=str(UUID(request.job_id)))
        except (ValueError, AttributeError, TypeError):
            raise InvalidRequest(
                f"job_id must be a UUID, not {shown(request.job_id)}.",
                hint="str(uuid.uuid4()) makes one.",
            ) from None


def _set(request: object, **values: object) -> None:
    """Set validated values on a frozen request."""
    known = {f.name for f in fields(request)}  # type: ignore[arg-type]
    for name, value in values.items():
        assert name in known
        object.__setattr__(request, name, value)
