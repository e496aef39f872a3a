"""The clock of a pool: what time it is, and waiting with a timeout."""

from __future__ import annotations

import threading
import time
from typing import Protocol


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
