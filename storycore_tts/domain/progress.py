"""What a listener hears while a job is under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Stage(str, Enum):
    """Stages of a job, in the order in which they come; a backend may leave some out."""

    UPLOADING = "uploading"
    QUEUED = "queued"
    LOADING = "loading"
    GENERATING = "generating"
    TRAINING = "training"
    DOWNLOADING = "downloading"


@dataclass(frozen=True)
class Progress:
    """One piece of news about a job.

    Args:
        stage: Where the job is. Stages never go back.
        fraction: Share of this stage that is done, 0..1; None when nobody knows.
        message: What the backend says about it, if it says anything.
        queue_position: Jobs before ours while queued, the running one among them.
        epoch: Training epoch under way, from 1.
        step: Training steps done, in all epochs.
        total_steps: Training steps in all epochs.
        loss: Training loss of the last step or epoch that reported one.
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
"""A listener. It runs on the event loop and must return at once; what it raises ends the job."""


def forward_only(on_progress: OnProgress | None) -> OnProgress:
    """Wrap a listener so that nothing goes back and nothing is said twice.

    A job that is tried again, or whose events come late, would otherwise seem to move backwards.

    Args:
        on_progress: The caller's listener, or None for nobody.
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
