"""Limits on concurrent and waiting requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from storycore_tts.errors import BackendOverloaded

_SOON = 2.0  # s; a rough guess of when a slot becomes free


class Capacity:
    """Limits the requests to one backend in this process, first come, first served.

    Args:
        backend: Name of the backend, for messages.
        concurrency: Maximum number of concurrent requests.
        max_waiting: Maximum number of waiting requests.
    """

    def __init__(self, backend: str, *, concurrency: int, max_waiting: int) -> None:
        self.backend = backend
        self.concurrency = concurrency
        self._max_waiting = max_waiting
        self._places = asyncio.Semaphore(concurrency)
        self._taken = 0
        self.waiting = 0
        """Number of requests that are waiting."""

    @property
    def idle(self) -> bool:
        """Whether no request is running or waiting."""
        return self._taken == 0 and self.waiting == 0

    @asynccontextmanager
    async def place(self, *, patient: bool = False) -> AsyncIterator[None]:
        """Wait for a free slot and hold it.

        Args:
            patient: Ignore ``max_waiting``; for jobs, which were already accepted.

        Raises:
            BackendOverloaded: Too many requests are waiting.
        """
        if not patient and self._places.locked() and self.waiting >= self._max_waiting:
            raise BackendOverloaded(
                f"Too many requests are waiting for {self.backend}: {self.waiting}.",
                hint="Retry later, or submit a job, which may wait as long as necessary.",
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
