"""Coroutines for callers that have no event loop, or must not wait on theirs."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from storycore_tts.domain.errors import BackendUnavailable

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own: the caller may run one, or none.

    It ends with ``close``, or when this object is collected. ``start`` and ``close`` must not run
    at the same time; everything that was started before ``close`` gets an answer.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=_serve, args=(self._loop,), name="storycore-tts legacy", daemon=True
        )
        thread.start()
        self._end = weakref.finalize(self, _stop, self._loop, thread)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop; ``result_of`` waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what is running, and stop the loop and its threads; safe to call twice."""
        self._end()


def result_of(future: Future[T]) -> T:
    """Wait for work that was started; blocks this thread, and an interrupt cancels the work.

    Raises:
        BackendUnavailable: The loop was closed before the work was done.
        BaseException: What the coroutine raises.
    """
    try:
        return future.result()
    except CancelledError:
        raise BackendUnavailable("It was closed in mid-call.", retryable=False) from None
    except BaseException:
        future.cancel()  # if it is still running, the interrupt came from this thread
        raise


class Calls:
    """Coroutines that callers wait for, in a loop that begins with the first of them."""

    def __init__(self) -> None:
        self._thread: LoopThread | None = None
        self._opening = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; see ``result_of``."""
        with self._opening:  # one loop for all calls, and none that is being closed
            self._thread = self._thread or LoopThread()
            future = self._thread.start(work)
        return result_of(future)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End the loop, after a last coroutine of it; calls that still wait are cut short."""
        with self._opening:  # a new call waits until everything is closed
            thread, self._thread = self._thread, None
            if thread is None:
                return
            try:
                result_of(thread.start(last()))
            finally:
                thread.close()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    threads = ThreadPoolExecutor(thread_name_prefix="storycore-tts legacy")
    loop.set_default_executor(threads)
    try:
        loop.run_forever()
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        threads.shutdown()  # waits: a file must not appear after ``close`` has returned
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():  # where the garbage collector ran in the thread
        thread.join()
