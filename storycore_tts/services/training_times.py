"""Estimates training times from earlier trainings on the same backend."""

from __future__ import annotations

import asyncio
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import soundfile

from storycore_tts.domain.progress import OnProgress, Progress, Stage
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.errors import InvalidDataset, StorageFailed
from storycore_tts.services.files import replace_text, user_data
from storycore_tts.sound.decoders import UndecodableAudio

_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff"})
_FILE = "trainings.jsonl"
_KEPT = 500  # records; older ones are dropped
_writing = threading.Lock()


@dataclass(frozen=True)
class DatasetSize:
    """Size of a dataset.

    Args:
        recordings: Number of recordings.
        seconds: Total duration in seconds.
    """

    recordings: int
    seconds: float


@dataclass(frozen=True)
class TrainingPace:
    """Measured duration of a completed training.

    Args:
        machine: The backend, such as "comfyui at http://127.0.0.1:8188".
        model_choice: Size of the Base model.
        batch_size: Recordings per step.
        steps: Number of timed steps.
        seconds: Duration of these steps, in seconds.
        clip_seconds: Mean duration of the recordings, in seconds; None if unknown.
    """

    machine: str
    model_choice: str
    batch_size: int
    steps: int
    seconds: float
    clip_seconds: float | None = None


@dataclass(frozen=True)
class TrainingEstimate:
    """Estimated duration of a training.

    Args:
        steps: Number of steps in all epochs.
        audio_seconds: Duration of the dataset, in seconds.
        seconds: Estimated seconds from the first step to the last, including checkpoints saved
            between epochs but not model loading; None if no such training was measured yet.
        measured_steps: Number of measured steps on which the estimate is based.
        machine: The backend.
    """

    steps: int
    audio_seconds: float
    seconds: float | None
    measured_steps: int
    machine: str

    def __str__(self) -> str:
        """Describe the estimate for display."""
        what = f"{self.steps} steps over {self.audio_seconds:.0f} s of recordings"
        if self.seconds is None:
            return (
                f"{what}: no training with this model size and batch size has been measured on "
                f"{self.machine} yet, so the duration cannot be estimated."
            )
        return (
            f"{what}: about {self.seconds / 60:.1f} min on {self.machine}, based on "
            f"{self.measured_steps} measured steps."
        )


class TrainingTimes:
    """Records training times and estimates new ones. Its methods do blocking I/O.

    Args:
        file: The file, one training per line, created with the first record. None:
            ``trainings.jsonl`` in the data folder of this program.
    """

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        self.file = user_data() / _FILE if file is None else Path(file)

    def note(self, pace: TrainingPace) -> None:
        """Add a record; only the newest are kept.

        The file is replaced atomically.

        Args:
            pace: The measured duration.

        Raises:
            StorageFailed: The file cannot be written.
        """
        with _writing:
            lines = [*self._lines(), json.dumps(asdict(pace))][-_KEPT:]
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                replace_text(self.file, "".join(f"{line}\n" for line in lines))
            except OSError as error:
                raise StorageFailed(f"Cannot write to {self.file}: {error.strerror}.") from error

    def noted(self) -> list[TrainingPace]:
        """Return all records; damaged lines are skipped.

        Raises:
            StorageFailed: The file cannot be read.
        """
        return [pace for line in self._lines() if (pace := _read(line)) is not None]

    def _lines(self) -> list[str]:
        try:
            return self.file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageFailed(f"Cannot read {self.file}: {error.strerror}.") from error

    def estimate(
        self, request: TrainingRequest, size: DatasetSize, *, machine: str
    ) -> TrainingEstimate:
        """Estimate the duration of a training.

        Based on the time per step of earlier trainings with the same model size and batch size on
        the same backend, scaled by the mean duration of the recordings if it is known.

        Args:
            request: The training.
            size: Size of the dataset.
            machine: The backend.

        Raises:
            StorageFailed: The file cannot be read.
        """
        kind = (machine, request.model_choice, request.batch_size)
        alike = [p for p in self.noted() if (p.machine, p.model_choice, p.batch_size) == kind]
        steps = request.num_epochs * math.ceil(size.recordings / request.batch_size)
        clip = size.seconds / size.recordings
        return TrainingEstimate(
            steps=steps,
            audio_seconds=size.seconds,
            seconds=steps * _step_seconds(alike, clip) if alike else None,
            measured_steps=sum(pace.steps for pace in alike),
            machine=machine,
        )


class StepClock:
    """Measures the steps of a training from its progress reports.

    Args:
        on_progress: Callback to which reports are passed on, or None.
        clock: Returns the time in seconds.
    """

    def __init__(
        self, on_progress: OnProgress | None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._on_progress = on_progress
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def __call__(self, progress: Progress) -> None:
        """Record a step and pass the report on."""
        if progress.stage is Stage.TRAINING and progress.step is not None:
            again = self._last is not None and progress.step < self._last[0]  # a retry
            self._last = (progress.step, self._clock())
            self._first = self._last if again or self._first is None else self._first
        if self._on_progress is not None:
            self._on_progress(progress)

    def pace(
        self, request: TrainingRequest, size: DatasetSize | None, *, machine: str
    ) -> TrainingPace | None:
        """Return the measured duration; None if it covers less than one step.

        Args:
            request: The completed training.
            size: Size of its dataset, if known.
            machine: The backend.
        """
        if self._first is None or self._last is None or self._last[0] <= self._first[0]:
            return None
        return TrainingPace(
            machine=machine,
            model_choice=request.model_choice,
            batch_size=request.batch_size,
            steps=self._last[0] - self._first[0],
            seconds=self._last[1] - self._first[1],
            clip_seconds=None if size is None else size.seconds / size.recordings,
        )


def dataset_size(dataset: str | os.PathLike[str]) -> DatasetSize:
    """Return the number and duration of the recordings in a local dataset, without decoding them.

    Args:
        dataset: A folder of recordings with a .txt beside each, or a .jsonl file.

    Raises:
        InvalidDataset: The dataset is not on this machine, is empty, or cannot be read.
    """
    source = Path(dataset)
    try:
        recordings = list(_recordings(source))
        seconds = sum(map(_seconds, recordings))
    except (OSError, ValueError, LookupError, TypeError, UndecodableAudio) as error:
        raise InvalidDataset(
            f"Cannot read the dataset {source} on this machine: {error}.",
            hint="Pass a folder of recordings with a .txt beside each, or a .jsonl file.",
        ) from error
    if not recordings:
        raise InvalidDataset(f"The dataset {source} contains no recording with a .txt beside it.")
    return DatasetSize(len(recordings), seconds)


async def size_if_here(dataset: str) -> DatasetSize | None:
    """Return the size of a dataset, or None if it is not on this machine."""
    try:
        return await asyncio.to_thread(dataset_size, dataset)
    except InvalidDataset:
        return None


def _recordings(source: Path) -> Iterable[Path]:
    if source.is_dir():
        return sorted(
            path
            for path in source.iterdir()
            if path.suffix.lower() in _SUFFIXES and path.with_suffix(".txt").is_file()
        )
    lines = source.read_text(encoding="utf-8").splitlines()
    return [source.parent / json.loads(line)["audio"] for line in lines if line.strip()]


def _seconds(recording: Path) -> float:
    try:
        return float(soundfile.info(recording).duration)
    except soundfile.LibsndfileError as error:
        raise UndecodableAudio(f"{recording.name}: {error.error_string}") from error


def _step_seconds(alike: Iterable[TrainingPace], clip_seconds: float) -> float:
    """Return the time per step for recordings of that mean duration, in seconds."""
    steps, seconds = 0, 0.0
    for pace in alike:
        longer = 1.0 if pace.clip_seconds is None else clip_seconds / pace.clip_seconds
        steps += pace.steps
        seconds += pace.seconds * longer
    return seconds / steps


def _read(line: str) -> TrainingPace | None:
    try:
        values: Mapping[str, object] = json.loads(line)
        pace = TrainingPace(**values)  # type: ignore[arg-type]
        sound = pace.steps > 0 and pace.seconds >= 0 and (pace.clip_seconds or 1.0) > 0
    except (ValueError, TypeError):
        return None
    return pace if sound else None
