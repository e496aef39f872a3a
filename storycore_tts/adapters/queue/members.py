"""Detects dead processes that share a PostgreSQL database, and requeues their jobs.

Each process holds an advisory lock under its name, which the server releases when the process or
its machine dies. A process that can take another's lock knows that the other is dead. No clocks are
compared.
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

_BLIND_FOR = 5  # checks to skip after our connection broke: others' may have broken too

_logger = logging.getLogger(__name__)


class Membership:
    """This process's membership in the group that shares the database.

    Args:
        storage: The database.
        claims: Lists the processes that run jobs, and requeues the jobs of dead ones.
        worker: Name of this process.
        every: Seconds between checks of the other processes.
    """

    def __init__(self, storage: Storage, claims: Claims, worker: str, every: float) -> None:
        self._storage = storage
        self._claims = claims
        self._worker = worker
        self._every = every
        self._connection: sa.Connection | None = None  # the connection that holds our lock
        self._suspects: set[str] = set()
        self._blind = 0

    def join(self) -> None:
        """Take our lock. Must be called before the first job is claimed."""
        try:
            with self._storage.failures():
                self._connection = self._storage.lone_connection()
                if not try_lock(self._connection, self._worker):
                    raise StorageFailed("Another process checks whether this one lives.")
        except StorageFailed:
            self.leave()
            raise

    def leave(self) -> None:
        """Release our lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    async def run(self, in_thread: InThread) -> None:
        """Check our lock and the other processes repeatedly."""
        while True:
            try:
                await in_thread(self.look)
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
            await asyncio.sleep(self._every)

    def look(self) -> None:
        """Ensure that our lock is held, and requeue the jobs of dead processes."""
        if self._connection is None:
            self.join()
        try:
            with self._storage.failures():
                self._look_at_others()
        except StorageFailed:
            self.leave()
            self._suspects.clear()
            self._blind = _BLIND_FOR
            self.join()  # at once: others check again within a second
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
                # A process whose connection broke has until our next check to lock again.
                if worker in self._suspects:
                    log_event(_logger, logging.INFO, "queue.takes_over", executor=worker)
                    self._claims.requeue(worker)
                else:
                    suspects.add(worker)
            finally:
                unlock(connection, worker)
        self._suspects = suspects


def try_lock(connection: sa.Connection, worker: str) -> bool:
    """Try to take a process's lock; return whether it was free."""
    return bool(connection.execute(sa.select(sa.func.pg_try_advisory_lock(_key(worker)))).scalar())


def unlock(connection: sa.Connection, worker: str) -> None:
    """Release a process's lock."""
    connection.execute(sa.select(sa.func.pg_advisory_unlock(_key(worker))))


def _key(worker: str) -> int:
    digest = sha256(f"storycore-tts executor {worker}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
