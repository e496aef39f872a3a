"""Processes that share a PostgreSQL database: who lives, and who does the jobs of the dead.

Each holds a lock of its own that the server frees when the process or its machine is gone. Whoever
gets another one's lock knows that it is dead. No clocks are compared.
"""

from __future__ import annotations

import asyncio
import logging
from hashlib import sha256

import sqlalchemy as sa

from storycore_tts.adapters.queue.runtime import Runtime
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.adapters.queue.tables import Tables
from storycore_tts.adapters.queue.work import InThread
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.logs import log_event

_BLIND_FOR = 5  # looks after our own connection broke: those of others may have broken with it

_logger = logging.getLogger(__name__)


class Membership:
    """This process among those that share the database.

    Args:
        storage: The database.
        tables: Where its members are listed.
        runtime: Which takes over the jobs of the dead.
        executor: Name of this process.
        every: Seconds between two looks at the others.
    """

    def __init__(
        self, storage: Storage, tables: Tables, runtime: Runtime, executor: str, every: float
    ) -> None:
        self._storage = storage
        self._tables = tables
        self._runtime = runtime
        self._executor = executor
        self._every = every
        self._connection: sa.Connection | None = None  # which holds our lock
        self._suspects: set[str] = set()
        self._blind = 0

    def join(self) -> None:
        """Take our lock and list ourselves, in this order: who is listed and not locked is dead."""
        try:
            with self._storage.failures():
                self._connection = self._storage.lone_connection()
                if not self._lock(self._connection, self._executor):
                    raise StorageFailed("Another process looks whether we live.")
            self._tables.join(self._executor)
        except StorageFailed:
            self._drop()  # half a membership would be taken for a whole one
            raise

    def leave(self) -> None:
        """Say that we end in order. Our jobs are taken over at once, should any be left."""
        if self._connection is None:
            return
        try:
            self._tables.leave(self._executor)
        except StorageFailed as error:  # others will see that our lock is free
            log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
        finally:
            self._drop()

    async def run(self, in_thread: InThread) -> None:
        """Look at ourselves and the others, again and again."""
        while True:
            try:
                await in_thread(self.look)
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
            await asyncio.sleep(self._every)

    def look(self) -> None:
        """See to it that we are known to live, and take over the jobs of those who do not."""
        if self._connection is None:
            self.join()
        try:
            with self._storage.failures():
                self._look_at_others()
        except StorageFailed:
            self._drop()  # and our lock with it
            self._suspects.clear()
            self._blind = _BLIND_FOR
            self.join()  # at once: whoever missed our lock looks again within a second
            raise

    def _look_at_others(self) -> None:
        connection = self._connection
        assert connection is not None
        connection.execute(sa.text("SELECT 1"))
        if self._blind:
            self._blind -= 1
            return
        suspects = set()
        for executor, gone in self._tables.executors().items():
            if executor == self._executor or not self._lock(connection, executor):
                continue
            try:
                # One whose connection broke has until our next look to lock again.
                if gone or executor in self._suspects:
                    self._take_over(executor)
                else:
                    suspects.add(executor)
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(_key(executor))))
        self._suspects = suspects

    def _take_over(self, executor: str) -> None:
        log_event(_logger, logging.INFO, "queue.takes_over", executor=executor)
        self._runtime.recover(executor)
        self._tables.strike(executor)

    @staticmethod
    def _lock(connection: sa.Connection, executor: str) -> bool:
        return bool(
            connection.execute(sa.select(sa.func.pg_try_advisory_lock(_key(executor)))).scalar()
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _key(executor: str) -> int:
    digest = sha256(f"storycore-tts executor {executor}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
