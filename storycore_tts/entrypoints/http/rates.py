"""Rate limits per API key."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Generic, TypeVar

from storycore_tts.entrypoints.http.problems import Refused

T = TypeVar("T")

_WINDOW = 60.0  # s


class Rates:
    """Limits the requests of each owner of a key, in a sliding window of one minute.

    Memory is bounded: at most ``per_minute`` timestamps for each owner of a configured key.

    Args:
        per_minute: Maximum requests of one owner per minute; None: no limit.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._most = per_minute
        self._counted: dict[str, deque[float]] = {}

    def count(self, owner: str) -> None:
        """Count a request.

        Args:
            owner: Owner of the key.

        Raises:
            Refused: The limit is exceeded (429); ``Retry-After`` says how long to wait.
        """
        if self._most is None:
            return
        now = asyncio.get_running_loop().time()
        times = self._counted.setdefault(owner, deque())
        while times and times[0] <= now - _WINDOW:
            times.popleft()
        if len(times) >= self._most:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"Rate limit exceeded: {self._most} requests per minute.",
                hint="Wait for the number of seconds in Retry-After.",
                headers={"Retry-After": str(max(1, math.ceil(times[0] + _WINDOW - now)))},
            )
        times.append(now)


class Shared(Generic[T]):
    """A cached value that concurrent callers share.

    Args:
        ask: Returns the value; must not raise.
        seconds: Lifetime of the value, in seconds.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asked = -math.inf
        self._answer: asyncio.Future[T] | None = None

    async def get(self) -> T:
        """Return the value, fetching it if necessary."""
        now = asyncio.get_running_loop().time()
        old = self._answer is None or (self._answer.done() and now - self._asked > self._seconds)
        if self._answer is None or old:
            self._asked, self._answer = now, asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._answer)

    async def aclose(self) -> None:
        """Cancel a running fetch, which continues even if all of its callers were cancelled."""
        if self._answer is not None:
            self._answer.cancel()
            await asyncio.wait({self._answer})
