"""Turns, by which one thread works at a time; and the clock by which a pool waits."""

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
    """Tests pass one whose time they move themselves."""

    def time(self) -> float:
        """Return seconds that never go back."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on a condition that the caller holds, at most that long; None: without a limit."""


class SystemClock:
    """Real time."""

    def time(self) -> float:
        """Return the monotonic clock's seconds."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait in real time."""
        condition.wait(seconds)


class Turn:
    """Lets one thread work at a time, in the order in which they ask."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()

    @contextmanager
    def taken(self, *, unless: Callable[[], bool] = _never) -> Iterator[bool]:
        """Wait for the turn, and hold it; gives whether it is held.

        Args:
            unless: Once it is true, the wait ends without the turn. See ``look_again``.
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
        """Let those who wait evaluate their ``unless`` again."""
        with self._changed:
            self._changed.notify_all()

    def is_wanted(self) -> bool:
        """Tell whether another thread waits for the turn."""
        return len(self._line) > 1


# torch's random generators belong to the process: two generations at a time would draw from one
# sequence of numbers, and no seed would repeat anything. So all pools share one turn.
GENERATION = Turn()
