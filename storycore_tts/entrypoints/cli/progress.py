"""Progress output: a bar on a terminal, otherwise a line per change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli import console

if TYPE_CHECKING:
    from storycore_tts.container import Container
    from storycore_tts.domain.events import Event
    from storycore_tts.domain.progress import OnProgress, Progress


@dataclass(frozen=True)
class Shown:
    """Callbacks that display the progress of a job.

    Args:
        progress: Called with each progress report.
        tried: Called when a backend failed and is retried, with its name, the number of the next
            attempt and the number of attempts.
    """

    progress: OnProgress
    tried: Callable[[str, int, int], None]

    @contextmanager
    def tries_of(self, container: Container) -> Iterator[None]:
        """Display retries of the service until the block ends.

        Args:
            container: The container of the service.
        """
        from storycore_tts.domain.events import AttemptFailed

        attempts = container.config().retry.attempts

        def listen(event: Event) -> None:
            if isinstance(event, AttemptFailed) and event.pause is not None:
                self.tried(event.backend, event.attempt + 1, attempts)

        forget = container.listeners().add(listen)
        try:
            yield
        finally:
            forget()


@contextmanager
def shown(*, quiet: bool) -> Iterator[Shown]:
    """Display progress on stderr until the block ends.

    Args:
        quiet: Display nothing.
    """
    if quiet:
        yield Shown(lambda _: None, lambda *_: None)
    elif console.stderr_is_terminal():
        with _bar() as on_terminal:
            yield on_terminal
    else:
        lines = _Lines()
        try:
            yield Shown(lines, lines.tried)
        finally:
            lines.end()


def described(progress: Progress) -> str:
    """Describe progress in a few words: "queued: 2 ahead", "training: epoch 3"."""
    return ": ".join([progress.stage.value, *_details(progress)])


def _details(progress: Progress) -> list[str]:
    if progress.queue_position is not None:
        position = progress.queue_position
        return [f"{position} ahead" if position else "next"]
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
    """Prints a line when the stage, the queue position or the epoch changes."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()
        self._counting = ""

    def tried(self, backend: str, number: int, attempts: int) -> None:
        """Count the attempts, on a single line."""
        if self._counting != backend:
            self.end()
            self._counting = backend
            console.tell(f"{backend} failed, retrying: attempt {number} of {attempts}", end="")
        else:
            console.tell(f", {number} of {attempts}", end="")

    def end(self) -> None:
        """End the line of attempts, if there is one."""
        if self._counting:
            self._counting = ""
            console.tell("")

    def __call__(self, progress: Progress) -> None:
        from storycore_tts.domain.progress import Stage

        news = (progress.stage, progress.queue_position, progress.epoch, progress.message)
        if progress.epoch is None and self._last[:1] == (Stage.TRAINING,):
            return  # a single step; the log shows the first one and the epochs
        if news != self._last:
            self._last = news
            self.end()
            console.tell(described(progress))


class _Training:
    """Merges the partial progress reports of a training."""

    def __init__(self) -> None:
        self._so_far: Progress | None = None

    def merged(self, progress: Progress) -> Progress:
        """Return the report, completed by earlier reports of the same stage."""
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
def _bar() -> Iterator[Shown]:
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

        def tried(backend: str, number: int, attempts: int) -> None:
            bar.update(task, description=f"{backend}: attempt {number} of {attempts}")

        yield Shown(listen, tried)
