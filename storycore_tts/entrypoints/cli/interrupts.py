"""Ctrl-C and SIGTERM: the exit status is 130, whenever they come, and no job stays on a server.

In synchronous code a signal raises KeyboardInterrupt. While an event loop runs it cancels the task,
so that the adapter takes its job off the server. A signal is never lost: where its exception or its
cancellation did not get through (in a destructor, or in a task that was done already),
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
    """The signals that came while a command ran, and whether the user was told of them."""

    def __init__(self) -> None:
        self.came = 0
        self.told = False
        self._cancel: Callable[[], object] | None = None

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Be the handler of a signal."""
        self.came += 1
        if self._cancel is None:
            raise KeyboardInterrupt
        if self.came == 1:
            self._cancel()
        elif self.came > 2:
            os._exit(INTERRUPTED)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self.came:
            raise KeyboardInterrupt

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Call a function at the first signal, none at the second, and end at the third."""
        before, self._cancel = self._cancel, cancel
        try:
            yield
        finally:
            self._cancel = before


_current: _Signals | None = None


@contextmanager
def heeded() -> Iterator[_Signals]:
    """Handle SIGINT and SIGTERM until the block ends; within such a block, do nothing.

    Raises:
        KeyboardInterrupt: A signal came.
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
            # None: a handler that Python did not set, and cannot set again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        sys.unraisablehook = hook
        _current = None


def heed_again() -> None:
    """Set the handlers again, after an event loop has removed its own."""
    if _current is not None:
        for number in _NUMBERS:
            signal.signal(number, _current.handle)


def came() -> bool:
    """Tell whether a signal came while the running command did its work."""
    return _current is not None and _current.came > 0


def mark_told() -> None:
    """Remember that the command has told the user of its interruption."""
    if _current is not None:
        _current.told = True


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; a signal cancels it and waits until it has tidied up.

    A second signal does not interrupt the tidying up, which takes the job off the server; a third
    one ends the process at once.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came, also when the work was done all the same.
    """
    import asyncio

    tasks: list[asyncio.Task[Any]] = []

    def cancel() -> None:
        # From a signal handler: the loop may be asleep, or in the middle of a step.
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
    """Print nothing of a KeyboardInterrupt that a destructor cannot pass on; it is remembered."""

    def filtered(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)

    return filtered
