"""Removes expired jobs and uploads."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import sqlalchemy as sa

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.documents import now
from storycore_tts.adapters.queue.identifiers import uploads_in
from storycore_tts.adapters.queue.repository import LIVE
from storycore_tts.adapters.queue.storage import BATCH, SUBMISSION_LOCK, Storage, batches
from storycore_tts.adapters.queue.tables import affinities, jobs, results, uploads
from storycore_tts.adapters.queue.uploads import touch
from storycore_tts.adapters.queue.waiting import InThread
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import StorageFailed

_logger = logging.getLogger(__name__)


class Housekeeping:
    """Removes expired jobs and uploads.

    Args:
        storage: The database.
        keep_jobs: Seconds that ended jobs are kept.
        keep_uploads: Seconds that uploads are kept after their last use; longer while an
            unfinished job needs them.
    """

    def __init__(self, storage: Storage, keep_jobs: float, keep_uploads: float) -> None:
        self._storage = storage
        self._keep_jobs = keep_jobs
        self._keep_uploads = keep_uploads

    def sweep(self) -> None:
        """Remove expired jobs and uploads. Blocks."""
        old = sa.select(jobs.c.id).where(jobs.c.ended < now() - int(self._keep_jobs * 1000))
        while job_ids := self._ids(old.limit(BATCH)):
            self.remove(job_ids)
        self._sweep_uploads(now() - int(self._keep_uploads * 1000))

    def remove(self, job_ids: list[str]) -> None:
        """Remove ended jobs and their results. Blocks."""
        with self._storage.writing() as connection:
            for column in (jobs.c.id, results.c.job_id, affinities.c.job_id):
                connection.execute(sa.delete(column.table).where(column.in_(job_ids)))

    def _sweep_uploads(self, before: int) -> None:
        """Remove old uploads that no job needs. No job can be accepted during this."""
        is_old = uploads.c.used < before
        if not self._ids(sa.select(uploads.c.id).where(is_old).limit(1)):
            return
        specs = sa.select(jobs.c.spec).where(jobs.c.state.in_(LIVE))
        with self._storage.writing(SUBMISSION_LOCK) as connection:
            old = set(connection.execute(sa.select(uploads.c.id).where(is_old)).scalars())
            for spec in connection.execute(specs).scalars():
                needed = uploads_in(documents.spec_from_json(spec).details) & old
                touch(connection, needed)
                old -= needed
            for unused in batches(sorted(old)):
                connection.execute(uploads.delete().where(uploads.c.id.in_(unused), is_old))

    def _ids(self, wanted: sa.Select[Any]) -> list[str]:
        with self._storage.reading() as connection:
            return list(connection.execute(wanted).scalars())

    async def run(self, in_thread: InThread, every: float) -> None:
        """Sweep at intervals, at different times than other processes."""
        while True:
            await asyncio.sleep(every * random.uniform(0.8, 1.2))
            try:
                await in_thread(self.sweep)
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.sweep_failed", reason=error.message)
