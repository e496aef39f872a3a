"""How long a training will take, as far as earlier trainings on the same backend tell."""

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

from storycore_tts.domain.errors import InvalidDataset, StorageFailed
from storycore_tts.domain.progress import OnProgress, Progress, Stage
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.services.files import replace_text, user_data
from storycore_tts.sound.decoders import UndecodableAudio

_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff"})
_FILE = "trainings.jsonl"
_KEPT = 500  # notes; older ones go
_writing = threading.Lock()


@dataclass(frozen=True)
class DatasetSize:
    """How much there is to learn from.

    Args:
        recordings: Their number.
        seconds: Their length together.
    """

    recordings: int
    seconds: float


@dataclass(frozen=True)
class TrainingPace:
    """What a training that is over took.

    Args:
        machine: What trained, such as "comfyui at http://127.0.0.1:8188".
        model_choice: Size of the Base model.
        batch_size: Recordings a step.
        steps: Steps that were timed.
        seconds: From the first of them to the last.
        clip_seconds: Mean length of the recordings; None where nobody could look at them.
    """

    machine: str
    model_choice: str
    batch_size: int
    steps: int
    seconds: float
    clip_seconds: float | None = None


@dataclass(frozen=True)
class TrainingEstimate:
    """How long a training will take, if that can be told.

    Args:
        steps: That it has, in all epochs.
        audio_seconds: Length of the dataset, in seconds.
        seconds: From the first step to the last, with what is saved between epochs and without
            loading the model; None while no training of that kind has been measured.
        measured_steps: On how many steps that rests.
        machine: What will train.
    """

    steps: int
    audio_seconds: float
    seconds: float | None
    measured_steps: int
    machine: str

    def __str__(self) -> str:
        """Say it to people."""
        what = f"{self.steps} steps over {self.audio_seconds:.0f} s of recordings"
        if self.seconds is None:
            return (
                f"{what}: no training with this model size and batch size has been measured on "
                f"{self.machine} yet, so nobody knows how long it takes."
            )
        return (
            f"{what}: about {self.seconds / 60:.1f} min on {self.machine}, going by "
            f"{self.measured_steps} steps measured there."
        )


class TrainingTimes:
    """Notes how long steps took, and reckons with it. Its methods block while they read and write.

    Args:
        file: Where it is noted, one training a line; made when the first one ends. None:
            ``trainings.jsonl`` in this program's folder of user data.
    """

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        self.file = user_data() / _FILE if file is None else Path(file)

    def note(self, pace: TrainingPace) -> None:
        """Add what a training took; of many notes, the newest stay.

        The file is replaced as a whole: a process that dies here leaves it as it was.

        Raises:
            StorageFailed: The disk refuses.
        """
        with _writing:
            lines = [*self._lines(), json.dumps(asdict(pace))][-_KEPT:]
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                replace_text(self.file, "".join(f"{line}\n" for line in lines))
            except OSError as error:
                raise StorageFailed(f"Cannot write to {self.file}: {error.strerror}.") from error

    def noted(self) -> list[TrainingPace]:
        """Return what trainings took; a damaged line is passed over.

        Raises:
            StorageFailed: The disk refuses.
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
        """Reckon how long a training will take.

        A step takes as long as it did in earlier trainings of that model size and batch size on
        that machine; where the recordings of those are known to be longer or shorter, in
        proportion.

        Args:
            request: The training.
            size: How much it has to learn from.
            machine: What will train.

        Raises:
            StorageFailed: The disk refuses.
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
    """Times the steps of a training by what is told of its progress.

    Args:
        on_progress: Who else hears of it.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, on_progress: OnProgress | None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._on_progress = on_progress
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def __call__(self, progress: Progress) -> None:
        """Take note of a step, and pass the news on."""
        if progress.stage is Stage.TRAINING and progress.step is not None:
            again = self._last is not None and progress.step < self._last[0]  # tried once more
            self._last = (progress.step, self._clock())
            self._first = self._last if again or self._first is None else self._first
        if self._on_progress is not None:
            self._on_progress(progress)

    def pace(
        self, request: TrainingRequest, size: DatasetSize | None, *, machine: str
    ) -> TrainingPace | None:
        """Return what was timed; None if it was less than one step.

        Args:
            request: The training that is over.
            size: What it learned from, if that is known.
            machine: What trained.
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
    """Look at a dataset on this machine: how many recordings, and how long; reads no samples.

    Args:
        dataset: A folder of recordings with a .txt beside each, or a .jsonl file.

    Raises:
        InvalidDataset: It is not on this machine, holds nothing, or a recording cannot be read.
    """
    source = Path(dataset)
    try:
        recordings = list(_recordings(source))
        seconds = sum(map(_seconds, recordings))
    except (OSError, ValueError, LookupError, TypeError, UndecodableAudio) as error:
        raise InvalidDataset(
            f"Cannot look at the dataset {source} from this machine: {error}.",
            hint="Give a folder of recordings with a .txt beside each, or a .jsonl file.",
        ) from error
    if not recordings:
        raise InvalidDataset(f"The dataset {source} holds no recording with a .txt beside it.")
    return DatasetSize(len(recordings), seconds)


async def size_if_here(dataset: str) -> DatasetSize | None:
    """Return how much a dataset holds, or None: it may lie on a server."""
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
    """Return how long a step takes on recordings of that mean length, in seconds."""
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
