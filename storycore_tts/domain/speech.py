"""What comes back: speech, and trained voices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from storycore_tts.sound.files import check_suffix, encode
from storycore_tts.sound.pace import pitched, stretched
from storycore_tts.sound.samples import Samples


@dataclass(frozen=True)
class Timings:
    """Where the time of one request went, in seconds.

    Args:
        queued: Waiting behind other jobs.
        generating: From the backend's start on the job to its end, model loading included.
        total: From the call to the result.
    """

    queued: float
    generating: float
    total: float


@dataclass(frozen=True, eq=False)
class Speech:
    """Audio, and how it was made.

    Args:
        samples: float32, shape (n,), −1..1, mono.
        sample_rate: In Hz.
        backend: Name of the adapter that spoke.
        model: The model or checkpoint that spoke; "" where that is not known, as a warning says.
        speaker: The voice, in the backend's spelling; "" for a clone.
        language: As it was asked for, in the model's spelling; where that was "Auto", a draft voice
            names the one that it detected.
        seed: The seed that was used, asked for or fresh; None where the backend has none.
        finish_reason: "stop": the model said "end". Audio that ran into a limit is never returned.
        x_vector_only: A clone made from the speaker embedding alone.
        timings: Where the time went.
        job_id: What the backend calls the job, to find it in its logs; "" where it has no jobs.
        warnings: What was done in spite of doubts, for people to read.
        cutoff: Seconds of audio at which the backend would have cut it off; None: not known, so
            that the request's token budget is what counts.
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

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def encode(self, suffix: str = ".wav") -> bytes:
        """Return the bytes of a file; blocks while it encodes.

        Args:
            suffix: ".wav", ".flac" or ".pcm" (16-bit), ".mp3", ".ogg", ".opus", or ".aac", which
                needs the extra ``media``.

        Raises:
            InvalidRequest: Another suffix, or its encoder is not installed.
        """
        return encode(self.samples, self.sample_rate, suffix)

    def stretched(self, speed: float) -> Speech:
        """Return the same speech at another pace, 0.25..4, with its pitch; see ``sound.pace``.

        Raises:
            InvalidRequest: Another speed, or the extra ``media`` is not installed.
        """
        return replace(self, samples=stretched(self.samples, self.sample_rate, speed))

    def pitched(self, semitones: float) -> Speech:
        """Return the same speech at another pitch, −12..12, at its pace; see ``sound.pace``.

        Raises:
            InvalidRequest: More than an octave, or the extra ``media`` is not installed.
        """
        return replace(self, samples=pitched(self.samples, self.sample_rate, semitones))

    def save(self, path: str | Path) -> Path:
        """Write an audio file in the format of the path's suffix; blocks while it writes.

        Args:
            path: A file name that ends in a suffix that ``encode`` takes; missing folders are made.

        Returns:
            The absolute path.

        Raises:
            InvalidRequest: Another suffix, or its encoder is not installed.
            OSError: The disk's own refusal.
        """
        check_suffix(path)
        target = Path(path).absolute()
        data = self.encode(target.suffix.lower())
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, data)
        return target


def write_whole(target: Path, data: bytes) -> None:
    """Write a sound file, or leave none: half of one would be taken for speech.

    Raises:
        OSError: The disk's own refusal; its ``filename`` is the target's.
    """
    file = target.open("wb")  # where this is refused, what was there stays
    try:
        with file:
            file.write(data)
    except OSError as error:
        if target.is_file() and not target.is_symlink():  # a device is not ours to remove
            target.unlink()
        raise OSError(error.errno, error.strerror, str(target)) from error


@dataclass(frozen=True)
class TrainedVoice:
    """A fine-tuned checkpoint.

    Args:
        checkpoint_path: Its folder, as the backend sees it: ``SpeechRequest.checkpoint`` takes it.
        speaker_name: The voice's name: ``SpeechRequest.speaker`` takes it.
        epochs: Epochs that were finished.
        loss_history: Loss of each epoch that reported one, in order.
        backend: Name of the adapter that trained it.
        warnings: What was done in spite of doubts, for people to read.
    """

    checkpoint_path: str
    speaker_name: str
    epochs: int
    loss_history: tuple[float, ...]
    backend: str
    warnings: tuple[str, ...] = ()
