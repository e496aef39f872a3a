"""Progress reports of running jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Stage(str, Enum):
    """Stages of a job, in order; a backend may skip some."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    LOADING = "loading"
    GENERATING = "generating"
    TRAINING = "training"
    DOWNLOADING = "downloading"


@dataclass(frozen=True)
class Progress:
    """A progress report of a job.

    Args:
        stage: The current stage. Stages never go back.
        fraction: Completed share of this stage, 0..1; None if unknown.
        message: The backend's message, if any.
        queue_position: Number of jobs ahead in the queue, including the running one.
        epoch: Current training epoch, from 1.
        step: Completed training steps over all epochs.
        total_steps: Training steps over all epochs.
        loss: Last reported training loss.
    """

    stage: Stage
    fraction: float | None = None
    message: str = ""
    queue_position: int | None = None
    epoch: int | None = None
    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None


OnProgress = Callable[[Progress], None]
"""A progress callback. It runs on the event loop and must not block; an exception ends the job."""


def forward_only(on_progress: OnProgress | None) -> OnProgress:
    """Wrap a callback so that progress never goes back and is never reported twice.

    Retries and late events would otherwise make a job appear to move backwards.

    Args:
        on_progress: The caller's callback, or None.
    """
    order = list(Stage)
    last: Progress | None = None

    def goes_back(new: Progress, old: Progress) -> bool:
        if new.stage is not old.stage:
            return order.index(new.stage) < order.index(old.stage)
        return None not in (new.fraction, old.fraction) and new.fraction < old.fraction  # type: ignore[operator]

    def report(progress: Progress) -> None:
        nonlocal last
        if on_progress is None or progress == last:
            return
        if last is not None and goes_back(progress, last):
            return
        last = progress
        on_progress(progress)

    return report
