"""Removes what is older than it need be."""

from __future__ import annotations

import asyncio
import logging
import random

from storycore_tts.adapters.queue.documents import now
from storycore_tts.adapters.queue.repository import uploads_in
from storycore_tts.adapters.queue.runtime import Runtime
from storycore_tts.adapters.queue.tables import Tables
from storycore_tts.adapters.queue.work import InThread
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.logs import log_event

_BATCH = 500

_logger = logging.getLogger(__name__)


class Housekeeping:
    """Removes ended jobs and unused uploads when their time is over.

    Args:
        runtime: Where jobs are.
        tables: Where the rest is.
        keep_jobs: Seconds that ended jobs are kept.
        keep_uploads: Seconds that uploads are kept after their last use; those that jobs need which
            have not ended are kept longer.
    """

    def __init__(
        self, runtime: Runtime, tables: Tables, keep_jobs: float, keep_uploads: float
    ) -> None:
        self._runtime = runtime
        self._tables = tables
        self._keep_jobs = keep_jobs
        self._keep_uploads = keep_uploads

    def sweep(self) -> None:
        """Remove what is too old; blocks."""
        before = now() - int(self._keep_jobs * 1000)
        while job_ids := self._runtime.ended_before(before, _BATCH):
            self.remove(job_ids)
        before = now() - int(self._keep_uploads * 1000)
        old = set(self._tables.old_uploads(before))
        if old:
            needed = {one for spec in self._runtime.live_specs() for one in uploads_in(spec)}
            self._tables.touch_uploads(old & needed)
            self._tables.remove_uploads(sorted(old - needed), before)

    def remove(self, job_ids: list[str]) -> None:
        """Remove jobs that have ended, and what they made; blocks."""
        self._tables.forget(job_ids)
        self._runtime.delete(job_ids)

    async def run(self, in_thread: InThread, every: float) -> None:
        """Do it from time to time, and not at the same time as other processes do."""
        while True:
            await asyncio.sleep(every * random.uniform(0.8, 1.2))
            try:
                await in_thread(self.sweep)
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.sweep_failed", reason=error.message)
