"""A bounded queue for work that holds much memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from storycore_tts.errors import BackendOverloaded

_RETRY_AFTER = 2.0  # s


class Admission:
    """Admits a limited number of things, and lets a few of them work at a time.

    Args:
        concurrency: Maximum number that work at a time.
        max_waiting: Maximum number that wait.
        state: What happens to those that are admitted, for the message: "3 files are being read".
        hint: What to do when too many wait.
    """

    def __init__(self, concurrency: int, max_waiting: int, *, state: str, hint: str) -> None:
        self._turns = asyncio.Semaphore(concurrency)
        self._capacity = concurrency + max_waiting
        self._admitted = 0
        self._state, self._hint = state, hint

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it.

        Raises:
            BackendOverloaded: Too many are waiting.
        """
        if self._admitted >= self._capacity:
            raise BackendOverloaded(
                f"{self._capacity} {self._state}.", hint=self._hint, retry_after=_RETRY_AFTER
            )
        self._admitted += 1
        try:
            async with self._turns:
                yield
        finally:
            self._admitted -= 1
