"""Stores in the queue's database at which backend endpoint each job was started."""

from __future__ import annotations

import sqlalchemy as sa

from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.adapters.queue.tables import affinities
from storycore_tts.adapters.queue.waiting import InThread
from storycore_tts.domain.endpoints import BackendEndpoint


class JobAffinities:
    """The endpoints at which jobs were started: a ``JobAffinityStore``.

    Args:
        patiently: Calls a blocking function in a thread, and retries while the database fails.
        storage: The queue's database.
    """

    def __init__(self, patiently: InThread, storage: Storage) -> None:
        self._patiently = patiently
        self._storage = storage

    async def find(self, job_id: str) -> BackendEndpoint | None:
        """Return where a job was started; see ``JobAffinityStore.find``."""
        return await self._patiently(self._find, job_id)

    async def note(self, job_id: str, endpoint: BackendEndpoint) -> None:
        """Record where a job is started; see ``JobAffinityStore.note``."""
        await self._patiently(self._note, job_id, endpoint)

    def _find(self, job_id: str) -> BackendEndpoint | None:
        wanted = sa.select(affinities.c.url, affinities.c.machine)
        with self._storage.reading() as connection:
            row = connection.execute(wanted.where(affinities.c.job_id == job_id)).one_or_none()
        return None if row is None else BackendEndpoint(row.url, row.machine)

    def _note(self, job_id: str, endpoint: BackendEndpoint) -> None:
        row = {"job_id": job_id, "url": endpoint.url, "machine": endpoint.machine}
        with self._storage.writing() as connection:
            self._storage.upsert(connection, affinities, row, "url", "machine")
