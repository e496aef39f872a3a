"""Handles Ctrl-C and SIGTERM: the exit status is 130, and no job stays on a server.

In synchronous code, a signal raises KeyboardInterrupt. While an event loop runs, it cancels the
task, so that the adapter withdraws its job from the server. Signals are never lost: if the
exception or the cancellation had no effect (in a destructor, or since the task was already done),
KeyboardInterrupt is raised at the next opportunity.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

INTERRUPTED = 130
_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class _Signals:
    """The signals received while a command runs, and whether they were reported to the user."""

    def __init__(self) -> None:
        self.came = 0
        self.reported = False
        self._cancel: Callable[[], object] | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.came += 1
        if self._cancel is None:
            raise KeyboardInterrupt
        if self.came == 1:
            self._cancel()
        elif self.came > 2:
            os._exit(INTERRUPTED)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal was received."""
        if self.came:
            raise KeyboardInterrupt

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Call a function at the first signal, ignore the second, exit at the third."""
        before, self._cancel = self._cancel, cancel
        try:
            yield
        finally:
            self._cancel = before


_current: _Signals | None = None


@contextmanager
def heeded() -> Iterator[_Signals]:
    """Handle SIGINT and SIGTERM until the block ends; nested blocks have no effect.

    Raises:
        KeyboardInterrupt: A signal was received.
    """
    global _current
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield _current or _Signals()
        return
    signals = _current = _Signals()
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    hook, sys.unraisablehook = sys.unraisablehook, _without_interrupts(sys.unraisablehook)
    heed_again()
    try:
        yield signals
        signals.check()
    finally:
        for number, handler in before.items():
            # None: the handler was not installed from Python and cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        sys.unraisablehook = hook
        _current = None


def heed_again() -> None:
    """Reinstall the handlers after an event loop has removed its own."""
    if _current is not None:
        for number in _NUMBERS:
            signal.signal(number, _current.handle)


def came() -> bool:
    """Return whether a signal was received while the command was running."""
    return _current is not None and _current.came > 0


def mark_reported() -> None:
    """Record that the interruption was reported to the user."""
    if _current is not None:
        _current.reported = True


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; a signal cancels it and waits for its cleanup.

    A second signal does not interrupt the cleanup, which withdraws the job from the server; a third
    one ends the process at once.

    Args:
        work: The coroutine.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM was received, even if the work was completed.
    """
    import asyncio

    tasks: list[asyncio.Task[Any]] = []

    def cancel() -> None:
        # Called from a signal handler, so the loop must be woken up.
        for task in tasks:
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            if signals.came:
                work.close()
                raise asyncio.CancelledError
            return await work
        finally:
            tasks.clear()

    with heeded() as signals:
        try:
            with signals.cancelling(cancel):
                return asyncio.run(cancellable())
        finally:
            signals.check()


def _without_interrupts(
    hook: Callable[[sys.UnraisableHookArgs], Any],
) -> Callable[[sys.UnraisableHookArgs], Any]:
    """Suppress the output of a KeyboardInterrupt in a destructor; the signal is recorded."""

    def filtered(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)

    return filtered
