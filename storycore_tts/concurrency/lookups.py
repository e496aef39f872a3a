"""Questions that are asked once, however many calls want the answer at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, TypeVar

from storycore_tts.concurrency.waiting import consume_exception
from storycore_tts.domain.errors import TTSError

T = TypeVar("T")


class Lookups:
    """Remembers answers by their keys. A question that failed is asked again by the next call.

    Args:
        cut_off: Makes the error of a question that was cancelled.
        limit: How many answers are kept; the oldest go first.
    """

    def __init__(self, cut_off: Callable[[], TTSError], limit: int = 256) -> None:
        self._cut_off = cut_off
        self._limit = limit
        self._asked: dict[str, asyncio.Task[Any]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._asked

    async def get(self, key: str, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the answer to ``key``, asking for it unless it is known or under way.

        Raises:
            TTSError: What ``ask`` raised, to each caller a copy of its own.
        """
        task = self._asked.get(key)
        if task is None:
            while len(self._asked) >= self._limit:
                del self._asked[next(iter(self._asked))]
            task = self._asked[key] = asyncio.get_running_loop().create_task(ask())
            task.add_done_callback(lambda ended: self._forget_failure(key, ended))
        await asyncio.wait([task])  # which does not cancel it for the others when we are cancelled
        if task.cancelled():
            raise self._cut_off()
        error = task.exception()
        if isinstance(error, TTSError):
            raise copy(error) from error  # each caller judges and changes its own
        return task.result()  # type: ignore[no-any-return]

    def forget(self, key: str | None = None) -> None:
        """Ask again next time; for all keys if none is named."""
        if key is None:
            self._asked.clear()
        else:
            self._asked.pop(key, None)

    def _forget_failure(self, key: str, ended: asyncio.Task[Any]) -> None:
        consume_exception(ended)
        failed = ended.cancelled() or ended.exception() is not None
        if failed and self._asked.get(key) is ended:
            del self._asked[key]
