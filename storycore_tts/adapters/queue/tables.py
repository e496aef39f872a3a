"""What DBOS does not keep: sounds, uploads, progress, a secret. All methods block."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from storycore_tts.adapters.queue.documents import Document, now
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import StoredAudio

_CREATION_LOCK = 7_301_866_112_044_021  # whoever holds it makes the tables
_TOUCH_AFTER = 60_000  # ms; a use that follows another one so soon is not written down
_BATCH = 500

_metadata = sa.MetaData()


def _table(name: str, *columns: sa.Column[object]) -> sa.Table:
    return sa.Table(f"storycore_tts_{name}", _metadata, *columns)


_secrets = _table(
    "secrets",
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
_results = _table(
    "results",
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("media_type", sa.Text, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("audio", sa.LargeBinary, nullable=False),
)
_notes = _table(
    "progress",
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("progress", sa.Text),
)
_affinities = _table(
    "sites",
    sa.Column("job_id", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("machine", sa.Text, nullable=False),
)
_uploads = _table(
    "uploads",
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False, index=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
_executors = _table(
    "executors",
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("gone", sa.Boolean, nullable=False),
)


@dataclass(frozen=True)
class Note:
    """What is known of work on a job, besides its state.

    Args:
        started: When it began, in milliseconds.
        updated: When this was written.
        progress: A piece of news, as JSON; None before the first one.
    """

    started: int
    updated: int
    progress: str | None


class Tables:
    """Our tables in a database."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._engine = storage.own
        self._insert = postgresql.insert if storage.is_postgres else sqlite.insert

    def create(self) -> None:
        """Make the tables where they are missing."""
        with self._storage.failures(), self._engine.begin() as connection:
            if self._storage.is_postgres:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
            _metadata.create_all(connection)

    def secret(self) -> bytes:
        """Return a secret that all who share the database know, and nobody else."""
        with self._storage.failures(), self._engine.begin() as connection:
            fresh = {"name": "ids", "value": secrets.token_bytes(32)}
            connection.execute(self._insert(_secrets).values(fresh).on_conflict_do_nothing())
            value = connection.execute(sa.select(_secrets.c.value)).scalar_one()
        return bytes(value)

    def keep(self, job_id: str, document: Document, audio: bytes) -> Document:
        """Keep what a job made, unless that is kept already.

        Returns:
            The document that is kept, which may be of an earlier time.
        """
        row = {
            "job_id": job_id,
            "document": json.dumps(document),
            "media_type": document["media_type"],
            "etag": sha256(audio).hexdigest(),
            "audio": audio,
        }
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(self._insert(_results).values(row).on_conflict_do_nothing())
        kept = self.kept(job_id)
        return document if kept is None else kept

    def kept(self, job_id: str) -> Document | None:
        """Return the document of what a job made, if it is there."""
        wanted = sa.select(_results.c.document).where(_results.c.job_id == job_id)
        with self._storage.failures(), self._engine.connect() as connection:
            text = connection.execute(wanted).scalar()
        if text is None:
            return None
        document: Document = json.loads(text)
        return document

    def audio(self, job_id: str) -> StoredAudio | None:
        """Return the sound that a job made, if it is there."""
        wanted = sa.select(_results.c.audio, _results.c.media_type, _results.c.etag)
        with self._storage.failures(), self._engine.connect() as connection:
            row = connection.execute(wanted.where(_results.c.job_id == job_id)).one_or_none()
        if row is None or not row.audio:
            return None
        return StoredAudio(bytes(row.audio), row.media_type, row.etag)

    def begin(self, job_id: str) -> None:
        """Write down that work on a job begins now."""
        fresh = {"started": now(), "updated": now(), "progress": None}
        statement = self._insert(_notes).values(job_id=job_id, **fresh)
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["job_id"], set_=fresh)
            )

    def note(self, job_id: str, progress: str) -> None:
        """Write down how far a job is."""
        statement = _notes.update().where(_notes.c.job_id == job_id)
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(statement.values(progress=progress, updated=now()))

    def notes(self, job_ids: Collection[str]) -> Mapping[str, Note]:
        """Return what is known of some jobs."""
        wanted = sa.select(_notes).where(_notes.c.job_id.in_(list(job_ids)))
        with self._storage.failures(), self._engine.connect() as connection:
            rows = connection.execute(wanted).all()
        return {row.job_id: Note(row.started, row.updated, row.progress) for row in rows}

    def endpoint(self, job_id: str) -> BackendEndpoint | None:
        """Return where a job was begun."""
        wanted = sa.select(_affinities.c.url, _affinities.c.machine).where(
            _affinities.c.job_id == job_id
        )
        with self._storage.failures(), self._engine.connect() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else BackendEndpoint(row.url, row.machine)

    def note_endpoint(self, job_id: str, endpoint: BackendEndpoint) -> None:
        """Write down where a job is begun."""
        fresh = {"url": endpoint.url, "machine": endpoint.machine}
        statement = self._insert(_affinities).values(job_id=job_id, **fresh)
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["job_id"], set_=fresh)
            )

    def forget(self, job_ids: Collection[str]) -> None:
        """Remove what is kept of some jobs."""
        with self._storage.failures(), self._engine.begin() as connection:
            for table in (_results, _notes, _affinities):
                connection.execute(table.delete().where(table.c.job_id.in_(list(job_ids))))

    def put_upload(self, upload_id: str, owner: str, data: bytes) -> None:
        """Keep an upload."""
        row = {"id": upload_id, "owner": owner, "used": now(), "data": data}
        statement = self._insert(_uploads).values(row)
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_={"used": row["used"]})
            )

    def upload(self, upload_id: str, owner: str) -> bytes | None:
        """Return an upload, if this owner has it."""
        wanted = sa.select(_uploads.c.data).where(
            _uploads.c.id == upload_id, _uploads.c.owner == owner
        )
        with self._storage.failures(), self._engine.connect() as connection:
            data = connection.execute(wanted).scalar()
        return None if data is None else bytes(data)

    def touch_uploads(self, upload_ids: Iterable[str]) -> None:
        """Write down that some uploads are needed now."""
        stale = sa.and_(_uploads.c.id.in_(list(upload_ids)), _uploads.c.used < now() - _TOUCH_AFTER)
        with self._storage.failures(), self._engine.connect() as connection:
            if connection.execute(sa.select(_uploads.c.id).where(stale)).first() is None:
                return
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(_uploads.update().where(stale).values(used=now()))

    def old_uploads(self, before: int) -> list[str]:
        """Return uploads that nobody used for long."""
        wanted = sa.select(_uploads.c.id).where(_uploads.c.used < before)
        with self._storage.failures(), self._engine.connect() as connection:
            return list(connection.execute(wanted).scalars())

    def remove_uploads(self, upload_ids: list[str], before: int) -> None:
        """Remove uploads, those excepted that were used meanwhile."""
        for start in range(0, len(upload_ids), _BATCH):
            some = _uploads.c.id.in_(upload_ids[start : start + _BATCH])
            with self._storage.failures(), self._engine.begin() as connection:
                connection.execute(_uploads.delete().where(some, _uploads.c.used < before))

    def join(self, executor: str) -> None:
        """Write down that a process does jobs."""
        row = {"id": executor, "gone": False}
        statement = self._insert(_executors).values(row)
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["id"], set_={"gone": False})
            )

    def leave(self, executor: str) -> None:
        """Write down that a process ended in order."""
        with self._storage.failures(), self._engine.begin() as connection:
            statement = _executors.update().where(_executors.c.id == executor)
            connection.execute(statement.values(gone=True))

    def executors(self) -> Mapping[str, bool]:
        """Return the processes that do jobs, and whether each of them ended in order."""
        with self._storage.failures(), self._engine.connect() as connection:
            return {row.id: row.gone for row in connection.execute(sa.select(_executors))}

    def strike(self, executor: str) -> None:
        """Remove a process whose jobs others have taken over."""
        with self._storage.failures(), self._engine.begin() as connection:
            connection.execute(_executors.delete().where(_executors.c.id == executor))
