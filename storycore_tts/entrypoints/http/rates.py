"""How often each key may ask."""

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
    """Counts the requests of each owner of a key, in a window of a minute that moves along.

    It remembers as many times of requests as an owner may make in a minute. Owners are those of the
    configured keys, so there are no more of them than the settings name.

    Args:
        per_minute: Requests of one owner in a minute; None: any number.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._most = per_minute
        self._counted: dict[str, deque[float]] = {}

    def count(self, owner: str) -> None:
        """Count a request.

        Raises:
            Refused: It is one too many (429); the answer says when to come back.
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
                f"More than {self._most} requests in a minute.",
                hint="Wait for as many seconds as Retry-After says.",
                headers={"Retry-After": str(max(1, math.ceil(times[0] + _WINDOW - now)))},
            )
        times.append(now)


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
        now = asyncio.get_running_loop().time()
        old = self._answer is None or (self._answer.done() and now - self._asked > self._seconds)
        if self._answer is None or old:
            self._asked, self._answer = now, asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._answer)

    async def aclose(self) -> None:
        """Stop asking: clients that left do not end the question that they had asked."""
        if self._answer is not None:
            self._answer.cancel()
            await asyncio.wait({self._answer})
