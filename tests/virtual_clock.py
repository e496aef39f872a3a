"""An event loop whose clock jumps to the next timer instead of waiting for it.

A test marked ``virtual_clock`` runs on it: ``asyncio.sleep(3600)`` takes no time, timers fire in
their order, and ``loop.time()`` says how long everything would have taken. While work is in a
thread, the clock stands still until that work has ended. Sockets and subprocesses are not known
here: what waits for them must run on the real clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

# Rounds of the loop at the same time, after which the clock goes on all the same: timers may fire a
# nanosecond early, and a task that waits for the rest would wait for ever.
ROUNDS = 1000
STUCK = 30.0  # real seconds without any timer or event, after which a test is stuck for good


class _JumpingSelector(selectors.DefaultSelector):
    """Turns the loop's waits into jumps of its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0
        self._rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            self._rounds += 1
            if self._rounds % ROUNDS == 0:
                self.now += 1e-6
            return ready
        if self.threads or timeout is None:
            ready = super().select(STUCK)
            if not ready:
                raise RuntimeError("Every task waits, and no timer would ever wake one.")
            return ready
        self.now += timeout
        self._rounds = 0
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """A selector event loop on a clock that starts at 0 s and never waits."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run something in a thread; the clock stands still until it has ended."""
        self._jumping.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads, as long as that takes: their end is no timer's."""
        self._jumping.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.threads -= 1

    def _thread_ended(self, _: object) -> None:
        self._jumping.threads -= 1
