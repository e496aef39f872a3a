"""Runs coroutines for synchronous callers, with or without an event loop of their own."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from storycore_tts.errors import BackendUnavailable

T = TypeVar("T")

_NAME = "storycore-tts legacy"  # name prefix of the loop's thread and its workers


class Calls:
    """Runs coroutines in a background thread while callers block.

    The thread with its event loop starts with the first call. It ends with ``close``, or when this
    object is garbage-collected; calls in progress then return or raise.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], object] = lambda: None
        self._opening = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and block until it ends; an interrupt cancels it.

        Raises:
            BackendUnavailable: The loop was closed before the coroutine finished.
            BaseException: An exception of the coroutine.
        """
        with self._opening:  # all calls share one loop, never one that is closing
            future = asyncio.run_coroutine_threadsafe(work, self._loop or self._begin())
        return _result_of(future)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a last coroutine, cancel calls in progress, and stop the loop and its threads."""
        with self._opening:  # new calls wait until everything is closed
            if self._loop is None:
                return
            try:
                _result_of(asyncio.run_coroutine_threadsafe(last(), self._loop))
            finally:
                self._loop = None
                self._end()

    def _begin(self) -> asyncio.AbstractEventLoop:
        self._loop = loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(loop,), name=_NAME, daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _stop, loop, thread)
        return loop


def _result_of(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise BackendUnavailable("It was closed in mid-call.", retryable=False) from None
    except BaseException:
        future.cancel()  # no-op unless this thread was interrupted
        raise


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    threads = ThreadPoolExecutor(thread_name_prefix=_NAME)
    loop.set_default_executor(threads)
    try:
        loop.run_forever()
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        threads.shutdown()  # blocks: no file may appear after ``close`` has returned
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if not threading.current_thread().name.startswith(_NAME):  # a thread cannot join itself
        thread.join()
