"""Who waits for news of which job, and where news comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from storycore_tts.adapters.queue.runtime import Entry
from storycore_tts.adapters.queue.waiting import Intervals
from storycore_tts.concurrency.waiting import wait_at_most
from storycore_tts.domain.errors import StorageFailed

Look = Callable[[Collection[str]], Awaitable[Mapping[str, tuple[Entry, int]]]]
"""Returns what the database has of some jobs: the entry, and when its progress was written."""


class Watching:
    """Wakes those who wait for a job, at once for what happens here, and soon for the rest.

    Args:
        look: How to ask the database.
        running: Returns the jobs that run here.
        settling: Returns those of them that DBOS is about to end.
        found: Called with what the database has of a job, None for nothing.
        intervals: How often to look.
    """

    def __init__(
        self,
        look: Look,
        running: Callable[[], Collection[str]],
        settling: Callable[[], Collection[str]],
        found: Callable[[str, Entry | None], None],
        intervals: Intervals,
    ) -> None:
        self._look = look
        self._running = running
        self._settling = settling
        self._found = found
        self._intervals = intervals
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._stamps: dict[str, object] = {}
        self._work = asyncio.Event()  # there is something to look at, or it is urgent

    @contextmanager
    def of(self, job_id: str) -> Iterator[asyncio.Event]:
        """Hand out an event that is set whenever there may be news of a job."""
        event = asyncio.Event()
        self._waiting.setdefault(job_id, set()).add(event)
        self._work.set()
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]
                self._stamps.pop(job_id, None)

    def changed(self, job_id: str) -> None:
        """Wake those who wait for a job."""
        for event in self._waiting.get(job_id, ()):
            event.set()

    def hurry(self) -> None:
        """Look at once: something begins or ends here."""
        self._work.set()

    def wake_all(self) -> None:
        """Wake all who wait: there will be no more news."""
        for job_id in list(self._waiting):
            self.changed(job_id)

    async def run(self) -> None:
        """Look again and again, as long as there is something to look at."""
        every, pause = self._intervals.look, self._intervals.settling
        while True:
            jobs = {*self._waiting, *self._running()}
            if not jobs:
                await self._work.wait()
                self._work.clear()
                continue
            await self._look_at(jobs)
            pause = min(pause * 1.5, every) if self._settling() else every
            if await wait_at_most(self._work, pause):
                self._work.clear()
                pause = self._intervals.settling

    async def _look_at(self, jobs: Collection[str]) -> None:
        try:
            seen = await self._look(jobs)
        except StorageFailed:  # whoever asks for the job will hear of it
            return
        for job_id in jobs:
            entry, noted = seen.get(job_id, (None, 0))
            self._found(job_id, entry)
            if job_id not in self._waiting:
                continue
            stamp = entry and (entry.status, entry.updated, noted)
            if self._stamps.get(job_id) != stamp:
                self._stamps[job_id] = stamp
                self.changed(job_id)
