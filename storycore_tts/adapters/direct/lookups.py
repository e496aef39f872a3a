"""Blocking lookups shared by concurrent callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from storycore_tts.adapters.direct.speech_jobs import Answering
from storycore_tts.concurrency.waiting import consume_exception

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class _Shared(Future[Found]):
    """A pending result for several callers."""

    def fail(self, error: BaseException) -> None:
        """Set an error as the result."""
        self.set_exception(error)


class SharedLookup(Generic[Key, Found]):
    """Calls a blocking function once for all concurrent callers with the same key.

    May be used from any event loop. Results are not cached: later calls call the function again.

    Args:
        look_up: The function, called in a thread; its exceptions are raised to all callers.
    """

    def __init__(self, look_up: Callable[[Key], Found]) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._running: dict[Key, _Shared[Found]] = {}

    async def get(self, key: Key) -> Found:
        """Return the result for a key; cancelling one caller does not affect the others."""
        with self._lock:
            shared = self._running.get(key)
            if shared is None:
                shared = _Shared()
                asyncio.get_running_loop().run_in_executor(None, self._run, key, shared)
                self._running[key] = shared
        answer = asyncio.wrap_future(shared)
        answer.add_done_callback(consume_exception)
        return await asyncio.shield(answer)

    def _run(self, key: Key, shared: _Shared[Found]) -> None:
        with Answering([shared]):
            try:
                found = self._look_up(key)
            finally:
                with self._lock:
                    del self._running[key]
            shared.set_result(found)
