"""Results: speech and trained voices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from storycore_tts.domain.disclosure import Notice
from storycore_tts.domain.moments import utc_now
from storycore_tts.domain.provenance import SourceType, tags_for
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.sound.files import check_suffix, encode
from storycore_tts.sound.pace import pitched, stretched
from storycore_tts.sound.samples import Samples
from storycore_tts.sound.tags import Tags


class Marker(Protocol):
    """Turns speech into sound files that say that it is synthetic."""

    def encode(self, speech: Speech, suffix: str, *, joinable: bool = False) -> bytes:
        """Return the sound file; see ``Speech.encode``. Blocks.

        Args:
            speech: The speech.
            suffix: See ``Speech.encode``.
            joinable: See ``Speech.encode``.

        Raises:
            InvalidRequest: The suffix is not supported, or its encoder is not installed.
        """
        ...


@dataclass(frozen=True)
class Timings:
    """Where the time of one request went, in seconds.

    Args:
        queued: Waiting time in the queue.
        generating: From the start of the job on the backend to its end, including model loading.
        total: From the call to the result.
    """

    queued: float
    generating: float
    total: float


@dataclass(frozen=True, eq=False)
class Speech:
    """Generated audio and how it was made.

    Args:
        samples: float32, shape (n,), −1..1, mono.
        sample_rate: In Hz.
        backend: Name of the adapter that generated it.
        model: The model or checkpoint used; "" if unknown, which a warning then says.
        speaker: The voice, in the backend's spelling; "" for a clone.
        language: As requested, in the model's spelling; for "Auto", the draft backend returns the
            language that it detected.
        seed: The seed used, requested or random; None if the backend uses none.
        finish_reason: "stop": the model produced its end token. Audio that reached a limit is never
            returned.
        x_vector_only: Whether a clone was made from the speaker embedding alone.
        timings: Where the time went.
        job_id: The backend's id of the job, to find it in its logs; "" if it has no jobs.
        warnings: Warnings about the result, for display.
        cutoff: Seconds of audio at which the backend would have cut it off; None: unknown, so that
            the token budget of the request applies.
        source_type: Whether a trained model or a rule-based synthesizer made it; files say so.
        created: When it was made, with a time zone.
        request: The request that it answers; None if it was not made by a service.
        marker: Writes its sound files; None: files with tags, neither signed nor recorded.
        notice: The spoken notice that it begins with; None: it has none.
    """

    samples: Samples
    sample_rate: int
    backend: str
    model: str
    speaker: str = ""
    language: str = "Auto"
    seed: int | None = None
    finish_reason: str = "stop"
    x_vector_only: bool = False
    timings: Timings = field(default_factory=lambda: Timings(0.0, 0.0, 0.0))
    job_id: str = ""
    warnings: tuple[str, ...] = ()
    cutoff: float | None = None
    source_type: SourceType = "trainedAlgorithmicMedia"
    created: datetime = field(default_factory=utc_now)
    request: SpeechRequest | CloneRequest | None = field(default=None, repr=False)
    marker: Marker | None = field(default=None, repr=False)
    notice: Notice | None = None

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    def encode(self, suffix: str = ".wav", *, joinable: bool = False) -> bytes:
        """Return the audio as the bytes of a sound file; blocks while it encodes.

        The file says that it is synthetic speech, except for .pcm, which has no place for it.

        Args:
            suffix: ".wav", ".flac" or ".pcm" (16-bit), ".mp3", ".ogg", ".opus", or ".aac" and
                ".m4a", which need the extra ``media``.
            joinable: Whether .mp3 files can be concatenated; see ``sound.files.encode``.

        Raises:
            InvalidRequest: The suffix is not supported, or its encoder is not installed.
        """
        if self.marker is not None:
            return self.marker.encode(self, suffix, joinable=joinable)
        return encode(self.samples, self.sample_rate, suffix, tags=self.tags(), joinable=joinable)

    def tags(self, *, voice: str = "", text: str = "") -> Tags:
        """Return what a file of this speech says of itself.

        Args:
            voice: Name of the voice, only if the user asked to publish it.
            text: The spoken text, only if the user asked to publish it.
        """
        return tags_for(
            self.source_type,
            self.created,
            model=self.model,
            checkpoint=self.request.checkpoint if self.request else None,
            job_id=(self.request.job_id if self.request else None) or self.job_id,
            voice=voice,
            text=text,
        )

    def stretched(self, speed: float) -> Speech:
        """Return the speech at another speed with unchanged pitch; see ``sound.pace``.

        Args:
            speed: 0.25..4; 1 leaves it unchanged.

        Raises:
            InvalidRequest: The speed is out of range, or the extra ``media`` is not installed.
        """
        samples = stretched(self.samples, self.sample_rate, speed)
        notice = self.notice and replace(self.notice, seconds=self.notice.seconds / speed)
        return replace(self, samples=samples, notice=notice)

    def pitched(self, semitones: float) -> Speech:
        """Return the speech at another pitch with unchanged speed; see ``sound.pace``.

        Args:
            semitones: −12..12; 0 leaves it unchanged.

        Raises:
            InvalidRequest: The shift is out of range, or the extra ``media`` is not installed.
        """
        return replace(self, samples=pitched(self.samples, self.sample_rate, semitones))

    def save(self, path: str | Path) -> Path:
        """Write a sound file in the format of the path's suffix; blocks while it writes.

        Args:
            path: File name with a suffix supported by ``encode``; missing folders are created.

        Returns:
            The absolute path.

        Raises:
            InvalidRequest: The suffix is not supported, or its encoder is not installed.
            OSError: The file cannot be written.
        """
        check_suffix(path)
        target = Path(path).absolute()
        data = self.encode(target.suffix.lower())
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, data)
        return target


def write_whole(target: Path, data: bytes) -> None:
    """Write a sound file; on failure, remove it, so that no truncated file remains.

    Args:
        target: Path of the file.
        data: Its contents.

    Raises:
        OSError: The file cannot be written; its ``filename`` is ``target``.
    """
    file = target.open("wb")  # outside of try: if this fails, an existing file is kept
    try:
        with file:
            file.write(data)
    except OSError as error:
        if target.is_file() and not target.is_symlink():  # never remove a device
            target.unlink()
        raise OSError(error.errno, error.strerror, str(target)) from error


@dataclass(frozen=True)
class TrainedVoice:
    """A fine-tuned checkpoint.

    Args:
        checkpoint_path: Its folder, as the backend sees it; use it as ``SpeechRequest.checkpoint``.
        speaker_name: Name of the voice; use it as ``SpeechRequest.speaker``.
        epochs: Completed epochs.
        loss_history: Loss per epoch, of those that reported one, in order.
        backend: Name of the adapter that trained it.
        warnings: Warnings about the result, for display.
    """

    checkpoint_path: str
    speaker_name: str
    epochs: int
    loss_history: tuple[float, ...]
    backend: str
    warnings: tuple[str, ...] = ()
