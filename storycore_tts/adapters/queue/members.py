"""Processes that share a PostgreSQL database: finds those that died, and requeues their jobs.

Each process holds an advisory lock under its name, which the server frees when the process or its
machine is gone. A process that can take the lock of another one knows that the other one is dead.
No clocks are compared.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha256

import sqlalchemy as sa

from storycore_tts.adapters.queue.claims import Claims
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.adapters.queue.waiting import InThread
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import StorageFailed

_BLIND_FOR = 5  # looks after our own connection broke: those of others may have broken with it

_logger = logging.getLogger(__name__)


class Membership:
    """This process among those that share the database.

    Args:
        storage: The database.
        claims: Lists the processes that run jobs, and requeues the jobs of dead ones.
        worker: Name of this process.
        every: Seconds between two looks at the others.
    """

    def __init__(self, storage: Storage, claims: Claims, worker: str, every: float) -> None:
        self._storage = storage
        self._claims = claims
        self._worker = worker
        self._every = every
        self._connection: sa.Connection | None = None  # which holds our lock
        self._suspects: set[str] = set()
        self._blind = 0

    def join(self) -> None:
        """Take our lock, before the first job is claimed."""
        try:
            with self._storage.failures():
                self._connection = self._storage.lone_connection()
                if not try_lock(self._connection, self._worker):
                    raise StorageFailed("Another process checks whether this one lives.")
        except StorageFailed:
            self.leave()
            raise

    def leave(self) -> None:
        """Free our lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    async def run(self, in_thread: InThread) -> None:
        """Look at ourselves and the others, again and again."""
        while True:
            try:
                await in_thread(self.look)
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
            await asyncio.sleep(self._every)

    def look(self) -> None:
        """Make sure that our lock is held, and take over the jobs of dead processes."""
        if self._connection is None:
            self.join()
        try:
            with self._storage.failures():
                self._look_at_others()
        except StorageFailed:
            self.leave()
            self._suspects.clear()
            self._blind = _BLIND_FOR
            self.join()  # at once: a process that took our lock looks again within a second
            raise

    def _look_at_others(self) -> None:
        connection = self._connection
        assert connection is not None
        connection.execute(sa.text("SELECT 1"))
        if self._blind:
            self._blind -= 1
            return
        suspects = set()
        for worker in self._claims.workers():
            if not try_lock(connection, worker):
                continue
            try:
                # A process whose connection broke has until our next look to lock again.
                if worker in self._suspects:
                    log_event(_logger, logging.INFO, "queue.takes_over", executor=worker)
                    self._claims.requeue(worker)
                else:
                    suspects.add(worker)
            finally:
                unlock(connection, worker)
        self._suspects = suspects


def try_lock(connection: sa.Connection, worker: str) -> bool:
    """Take the lock of a process, and tell whether it was free."""
    return bool(connection.execute(sa.select(sa.func.pg_try_advisory_lock(_key(worker)))).scalar())


def unlock(connection: sa.Connection, worker: str) -> None:
    """Free the lock of a process."""
    connection.execute(sa.select(sa.func.pg_advisory_unlock(_key(worker))))


def _key(worker: str) -> int:
    digest = sha256(f"storycore-tts executor {worker}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
