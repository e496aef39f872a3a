"""A fair lock for threads, and the clock of a pool."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


def _never() -> bool:
    return False


class Clock(Protocol):
    """The clock of a pool; tests pass one that they control."""

    def time(self) -> float:
        """Return monotonic time in seconds."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait for a condition that the caller holds, at most ``seconds``; None: no limit."""


class SystemClock:
    """Real time."""

    def time(self) -> float:
        """Return monotonic time in seconds."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait in real time."""
        condition.wait(seconds)


class Turn:
    """A lock that is granted to threads in the order of their requests."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()

    @contextmanager
    def taken(self, *, unless: Callable[[], bool] = _never) -> Iterator[bool]:
        """Wait for the turn and hold it; yields whether it is held.

        Args:
            unless: If it returns True, the wait ends without the turn. See ``look_again``.
        """
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._line[0] is ticket or unless())
            held = self._line[0] is ticket
        try:
            yield held
        finally:
            with self._changed:
                self._line.remove(ticket)
                self._changed.notify_all()

    def look_again(self) -> None:
        """Make waiting threads evaluate ``unless`` again."""
        with self._changed:
            self._changed.notify_all()

    def is_wanted(self) -> bool:
        """Return whether another thread is waiting for the turn."""
        return len(self._line) > 1


# torch's random generators are global: concurrent generations would share one sequence, and seeds
# would not be reproducible. Therefore, all pools share one turn.
GENERATION = Turn()
