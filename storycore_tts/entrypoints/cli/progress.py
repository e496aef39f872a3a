"""Progress: a bar on a terminal, a line for every change otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli import console

if TYPE_CHECKING:
    from storycore_tts.domain.progress import OnProgress, Progress


@contextmanager
def shown(*, quiet: bool) -> Iterator[OnProgress]:
    """Hand out a listener that shows what it hears on stderr, until the block ends."""
    if quiet:
        yield lambda _: None
    elif console.stderr_is_terminal():
        with _bar() as listener:
            yield listener
    else:
        yield _Lines()


def described(progress: Progress) -> str:
    """Return a few words on where a job is: "queued: 2 before us", "training: epoch 3"."""
    return ": ".join([progress.stage.value, *_details(progress)])


def _details(progress: Progress) -> list[str]:
    if progress.queue_position is not None:
        position = progress.queue_position
        return [f"{position} before us" if position else "next"]
    if progress.message:
        return [progress.message]
    facts = []
    if progress.epoch is not None:
        facts.append(f"epoch {progress.epoch}")
    if progress.step is not None and progress.total_steps is not None:
        facts.append(f"step {progress.step} of {progress.total_steps}")
    if progress.loss is not None:
        facts.append(f"loss {progress.loss:.3f}")
    return [", ".join(facts)] if facts else []


class _Lines:
    """Prints a line when the stage, the place in the queue or the epoch changes."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()

    def __call__(self, progress: Progress) -> None:
        from storycore_tts.domain.progress import Stage

        news = (progress.stage, progress.queue_position, progress.epoch, progress.message)
        if progress.epoch is None and self._last[:1] == (Stage.TRAINING,):
            return  # a step; the first one and the epochs are enough for a log
        if news != self._last:
            self._last = news
            console.tell(described(progress))


class _Training:
    """Puts together what the events of a training tell one by one."""

    def __init__(self) -> None:
        self._so_far: Progress | None = None

    def merged(self, progress: Progress) -> Progress:
        """Return the news with what earlier news of the same stage said."""
        before = self._so_far
        if before is not None and before.stage is progress.stage:
            known = {
                name: getattr(progress, name) or getattr(before, name)
                for name in ("fraction", "epoch", "step", "total_steps", "loss")
            }
            progress = replace(progress, **known)
        self._so_far = progress
        return progress


@contextmanager
def _bar() -> Iterator[OnProgress]:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=console.rich_console(stderr=True),
        transient=True,
    ) as bar:
        task, training = bar.add_task("starting", total=None), _Training()

        def listen(progress: Progress) -> None:
            from storycore_tts.domain.progress import Stage

            if progress.stage is Stage.TRAINING:
                progress = training.merged(progress)
            known = progress.fraction is not None
            bar.update(
                task,
                description=described(progress),
                total=1.0 if known else None,
                completed=progress.fraction or 0.0,
            )

        yield listen
