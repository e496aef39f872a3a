"""How often each key may ask."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Generic, TypeVar

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from storycore_tts.entrypoints.http.problems import Refused

T = TypeVar("T")


class Rates:
    """Counts the requests of each owner of a key, in a window of a minute that moves along.

    Args:
        per_minute: Requests of one owner in a minute; None: any number.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._most = per_minute
        self._window = MovingWindowRateLimiter(MemoryStorage())

    async def count(self, owner: str) -> None:
        """Count a request.

        Raises:
            Refused: It is one too many (429); the answer says when to come back.
        """
        if self._most is None:
            return
        item = RateLimitItemPerMinute(self._most)
        if await self._window.hit(item, owner):
            return
        reset = (await self._window.get_window_stats(item, owner)).reset_time
        raise Refused(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"More than {self._most} requests in a minute.",
            hint="Wait for as many seconds as Retry-After says.",
            headers={"Retry-After": str(max(1, math.ceil(reset - time.time())))},
        )


class Shared(Generic[T]):
    """One answer for all who ask at about the same time.

    Args:
        ask: Returns it; raises nothing.
        seconds: How long it holds.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asked = -math.inf
        self._answer: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """Return the answer, or wait for it with the others."""
        now = time.monotonic()
        old = self._answer is None or (self._answer.done() and now - self._asked > self._seconds)
        if self._answer is None or old:
            self._asked, self._answer = now, asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._answer)
