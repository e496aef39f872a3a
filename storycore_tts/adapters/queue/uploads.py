"""Stores uploaded recordings in the queue's database."""

from __future__ import annotations

from collections.abc import Callable, Collection

import sqlalchemy as sa

from storycore_tts.adapters.queue.documents import now
from storycore_tts.adapters.queue.identifiers import Identifiers, is_upload_id
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.adapters.queue.tables import uploads
from storycore_tts.adapters.queue.waiting import InThread
from storycore_tts.domain.jobs import UploadNotFound

_TOUCH_AFTER = 60_000  # ms; the last use is not rewritten sooner than this


class Uploads:
    """The recordings that clients uploaded: an ``UploadStore``.

    Args:
        check_open: Raises if the queue is not open.
        in_thread: Calls a blocking function in a thread.
        storage: The queue's database.
        identifiers: Generates ids.
    """

    def __init__(
        self,
        check_open: Callable[[], None],
        in_thread: InThread,
        storage: Storage,
        identifiers: Identifiers,
    ) -> None:
        self._check_open = check_open
        self._in_thread = in_thread
        self._storage = storage
        self._identifiers = identifiers

    async def put(self, owner: str, data: bytes) -> str:
        """Store an upload; see ``UploadStore.put``."""
        self._check_open()
        return await self._in_thread(self._put, owner, data)

    async def get(self, owner: str, upload_id: str) -> bytes:
        """Return an upload; see ``UploadStore.get``."""
        self._check_open()
        return await self._in_thread(self._get, owner, upload_id)

    def _put(self, owner: str, data: bytes) -> str:
        upload_id = self._identifiers.upload(owner, data)
        row = {
            "id": upload_id,
            "owner": self._identifiers.owner(owner),
            "used": now(),
            "data": data,
        }
        with self._storage.writing() as connection:
            self._storage.upsert(connection, uploads, row, "used")
        return upload_id

    def _get(self, owner: str, upload_id: str) -> bytes:
        row = None
        if is_upload_id(upload_id):
            wanted = sa.select(uploads.c.data, uploads.c.used).where(
                uploads.c.id == upload_id, uploads.c.owner == self._identifiers.owner(owner)
            )
            with self._storage.reading() as connection:
                row = connection.execute(wanted).one_or_none()
        if row is None:
            raise UploadNotFound(
                "There is no such upload.",
                hint="Uploads are removed some time after their last use; send it again.",
            )
        if row.used < now() - _TOUCH_AFTER:
            with self._storage.writing() as connection:
                touch(connection, [upload_id])
        return bytes(row.data)


def touch(connection: sa.Connection, upload_ids: Collection[str]) -> None:
    """Record that some uploads are used now."""
    if upload_ids:
        stale = sa.and_(uploads.c.id.in_(upload_ids), uploads.c.used < now() - _TOUCH_AFTER)
        connection.execute(uploads.update().where(stale).values(used=now()))
