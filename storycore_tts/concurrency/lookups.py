"""Caches asynchronous lookups; concurrent callers share one lookup."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, TypeVar

from storycore_tts.concurrency.waiting import consume_exception
from storycore_tts.errors import TTSError

T = TypeVar("T")


class Lookups:
    """A cache of asynchronous lookups by key. Failures are not cached: the next call tries again.

    Args:
        cut_off: Returns the error to raise if a lookup was cancelled.
        limit: Maximum number of cached results; the oldest are dropped first.
    """

    def __init__(self, cut_off: Callable[[], TTSError], limit: int = 256) -> None:
        self._cut_off = cut_off
        self._limit = limit
        self._asked: dict[str, asyncio.Task[Any]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._asked

    async def get(self, key: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result for ``key``; look it up unless it is cached or already in progress.

        Args:
            key: Identifies the lookup.
            ask: Performs it.

        Raises:
            TTSError: A copy of what ``ask`` raised, or the error from ``cut_off``.
        """
        task = self._asked.get(key)
        if task is None:
            while len(self._asked) >= self._limit:
                del self._asked[next(iter(self._asked))]
            task = self._asked[key] = asyncio.get_running_loop().create_task(ask())
            task.add_done_callback(lambda ended: self._forget_failure(key, ended))
        await asyncio.wait([task])  # a cancelled caller does not cancel it for the others
        if task.cancelled():
            raise self._cut_off()
        error = task.exception()
        if isinstance(error, TTSError):
            raise copy(error) from error  # callers may change their copy
        return task.result()  # type: ignore[no-any-return]

    def forget(self, key: str | None = None) -> None:
        """Drop the cached result for ``key``, or all results if ``key`` is None."""
        if key is None:
            self._asked.clear()
        else:
            self._asked.pop(key, None)

    def _forget_failure(self, key: str, ended: asyncio.Task[Any]) -> None:
        consume_exception(ended)
        failed = ended.cancelled() or ended.exception() is not None
        if failed and self._asked.get(key) is ended:
            del self._asked[key]
