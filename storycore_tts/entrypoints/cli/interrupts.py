"""Ctrl-C and SIGTERM: both cancel the task, so that the adapter takes its job off the server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

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

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    import asyncio

    async def cancellable() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            # Windows has no signal handlers on its loop, and a thread may set none; asyncio's own
            # handling of Ctrl-C remains.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
