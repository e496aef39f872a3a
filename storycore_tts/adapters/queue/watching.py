"""Notifies watchers: at once of changes in this process, by polling of changes in others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from storycore_tts.adapters.queue.claims import Standing
from storycore_tts.errors import StorageFailed

Look = Callable[[Collection[str]], Awaitable[Mapping[str, Standing]]]
"""Returns the state of some jobs in the database."""


class Watching:
    """Polls jobs that are watched or run here, and wakes the watchers of changed ones.

    Args:
        look: Queries the database.
        running: Returns the jobs that run here.
        found: Called with a job's state in the database; None: the job does not exist.
        every: Seconds between polls.
    """

    def __init__(
        self,
        look: Look,
        running: Callable[[], Collection[str]],
        found: Callable[[str, Standing | None], None],
        every: float,
    ) -> None:
        self._look = look
        self._running = running
        self._found = found
        self._every = every
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._seen: dict[str, Standing | None] = {}
        self._wanted = asyncio.Event()  # there are jobs to poll

    @contextmanager
    def of(self, job_id: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever a job may have changed."""
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        self.hurry()
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]
                self._seen.pop(job_id, None)

    def changed(self, job_id: str) -> None:
        """Wake the watchers of a job."""
        for event in self._waiting.get(job_id, ()):
            event.set()

    def hurry(self) -> None:
        """Start polling if it was idle."""
        self._wanted.set()

    def wake_all(self) -> None:
        """Wake all watchers: no more changes will come."""
        for job_id in list(self._waiting):
            self.changed(job_id)

    async def run(self) -> None:
        """Poll as long as there are jobs to poll."""
        while True:
            if jobs := {*self._waiting, *self._running()}:
                await self._look_at(jobs)
                await asyncio.sleep(self._every)
            else:
                await self._wanted.wait()
                self._wanted.clear()

    async def _look_at(self, jobs: Collection[str]) -> None:
        try:
            seen = await self._look(jobs)
        except StorageFailed:  # watchers get the error when they read the job
            return
        for job_id in jobs:
            standing = seen.get(job_id)
            self._found(job_id, standing)
            if job_id in self._waiting and self._seen.get(job_id) != standing:
                self._seen[job_id] = standing
                self.changed(job_id)
