"""Ctrl-C and SIGTERM: both cancel the task, so that the adapter takes its job off the server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as SIGINT does, wherever no event loop runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise_interrupt)
    try:
        yield
    finally:
        # None: a handler that Python did not set, and cannot set again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; a signal cancels it and waits until it has tidied up.

    A second signal does not interrupt the tidying up, which takes the job off the server; a third
    one ends the process at once.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    import asyncio

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None
        with _heeding_signals(asyncio.get_running_loop(), task.cancel):
            return await work

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@contextmanager
def _heeding_signals(
    loop: asyncio.AbstractEventLoop, interrupt: Callable[[], object]
) -> Iterator[None]:
    """Call a function at the first signal, none at the second, and handle no third one."""
    handled: list[signal.Signals] = []
    interrupts = [interrupt]

    def heed() -> None:
        if interrupts:
            interrupts.pop()()
        else:
            let_go()

    def let_go() -> None:
        while handled:
            loop.remove_signal_handler(handled.pop())

    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no signal handlers on its loop, and a thread may set none; asyncio's own
        # handling of Ctrl-C remains.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, heed)
            handled.append(number)
    try:
        yield
    finally:
        let_go()


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
