"""How many requests are done at a time, and how many may wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from storycore_tts.domain.errors import BackendOverloaded

_SOON = 2.0  # s; nobody knows when a place is free, and a crowd thins out within seconds


class Capacity:
    """Places to work for one backend in this process, first come, first served.

    Args:
        backend: Its name, for messages.
        concurrency: Requests at a time.
        max_waiting: Requests that may wait for a place.
    """

    def __init__(self, backend: str, *, concurrency: int, max_waiting: int) -> None:
        self.backend = backend
        self.concurrency = concurrency
        self._max_waiting = max_waiting
        self._places = asyncio.Semaphore(concurrency)
        self._taken = 0
        self.waiting = 0
        """Requests that wait for a place just now."""

    @property
    def idle(self) -> bool:
        """Whether nobody works, and nobody waits."""
        return self._taken == 0 and self.waiting == 0

    @asynccontextmanager
    async def place(self, *, patient: bool = False) -> AsyncIterator[None]:
        """Wait for a place, and hold it.

        Args:
            patient: Wait however many others do; for jobs, which were accepted already.

        Raises:
            BackendOverloaded: Too many wait already.
        """
        if not patient and self._places.locked() and self.waiting >= self._max_waiting:
            raise BackendOverloaded(
                f"{self.waiting} requests wait for {self.backend} already.",
                hint="Ask again later, or ask for a job, which may wait as long as it needs.",
                backend=self.backend,
                retry_after=_SOON,
            )
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._places.release()
