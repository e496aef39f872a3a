"""Migrates the jobs of earlier versions, which stored them with DBOS.

They were rows of DBOS's table ``workflow_status``: in a separate file with SQLite, in a separate
schema with PostgreSQL. Each row is written into our table before it is deleted there, so nothing is
lost if this is interrupted, and a second run finds rows that an old process has added since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from storycore_tts.adapters.queue import documents, tables
from storycore_tts.adapters.queue.documents import Document
from storycore_tts.adapters.queue.members import try_lock, unlock
from storycore_tts.adapters.queue.storage import SCHEMA_LOCK, Storage, batches
from storycore_tts.adapters.queue.tables import jobs, results
from storycore_tts.domain.jobs import Failure, JobState
from storycore_tts.errors import StorageFailed

_SCHEMA = "storycore_tts_dbos"  # in PostgreSQL
_OLD_TABLES = {
    "workflow_status": (
        "status", "authenticated_user", "recovery_attempts", "created_at", "started_at_epoch_ms",
        "completed_at",
    ),
    "workflow_input": ("inputs",),
    "workflow_output": ("output",),
}  # fmt: skip
_BROKEN_STATES = {"ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}
_BROKEN = Failure("InternalError", "An earlier version of the service failed at this job.")


def take_over(storage: Storage) -> None:
    """Move the jobs of an earlier version into our table. Blocks.

    Args:
        storage: A database with our tables. This process must hold a folder's lock.

    Raises:
        StorageFailed: A process of an earlier version still runs jobs in the database, or its jobs
            cannot be read.
    """
    if storage.is_postgres:
        with storage.writing(SCHEMA_LOCK) as connection:
            if sa.inspect(connection).has_table("workflow_status", _SCHEMA):
                _check_no_old_process_lives(connection)
                _delete(connection, _SCHEMA, _move(storage, connection, _SCHEMA, connection))
    elif (file := storage.state_dir / "jobs.sqlite").exists():
        old = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
        with storage.failures(old.url), old.begin() as source:
            if not sa.inspect(source).has_table("workflow_status"):
                return
            with storage.writing() as connection:
                moved = _move(storage, source, None, connection)
            _delete(source, None, moved)


def _check_no_old_process_lives(connection: sa.Connection) -> None:
    if not sa.inspect(connection).has_table("storycore_tts_executors"):
        return
    for name in connection.execute(sa.text("SELECT id FROM storycore_tts_executors")).scalars():
        if not try_lock(connection, name):
            raise StorageFailed(
                "An earlier version of storycore-tts does jobs in this database.",
                hint="Stop its processes first; their jobs are taken over then.",
            )
        unlock(connection, name)


def _move(
    storage: Storage, source: sa.Connection, schema: str | None, target: sa.Connection
) -> list[str]:
    """Write old rows into our table unless they exist there; return the ids of all old rows."""
    old, inputs, outputs = (_old_table(name, schema) for name in _OLD_TABLES)
    wanted = (
        sa.select(*old.c, inputs.c.inputs, outputs.c.output)
        .join_from(old, inputs, old.c.workflow_uuid == inputs.c.workflow_uuid, isouter=True)
        .join(outputs, old.c.workflow_uuid == outputs.c.workflow_uuid, isouter=True)
    )
    with _reading(schema):
        found = [(row, json.loads(row.inputs)["args"][0]) for row in source.execute(wanted)]
        for row, spec in sorted(found, key=lambda each: each[1]["created"]):
            _write(storage, target, row, spec)
    return [row.workflow_uuid for row, _ in found]


def _write(storage: Storage, target: sa.Connection, row: Any, spec: Document) -> None:
    is_it = results.c.job_id == row.workflow_uuid
    kept = target.execute(sa.select(results.c.document).where(is_it)).scalar()
    outcome = _outcome(row, kept)
    new = storage.insert(jobs).values(_row(row, spec, outcome)).on_conflict_do_nothing()
    if target.execute(new).rowcount and outcome is not None and kept is None:
        result = {"job_id": row.workflow_uuid, "document": json.dumps(outcome)}
        target.execute(results.insert(), result | {"media_type": "", "etag": "", "audio": b""})


@contextmanager
def _reading(schema: str | None) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, LookupError) as error:
        place = "the file jobs.sqlite" if schema is None else f"the schema {schema}"
        raise StorageFailed(
            f"Jobs of an earlier version in {place} are damaged and cannot be read.",
            hint="To start without them, rename it.",
        ) from error


def _outcome(row: Any, kept: str | None) -> Document | None:
    """Return a job's outcome; None if it has none."""
    text = kept or row.output  # kept: its process died before DBOS recorded it
    if text is not None:
        outcome: Document = json.loads(text)
        return outcome
    return documents.of_failure(_BROKEN) if row.status in _BROKEN_STATES else None


def _row(row: Any, spec: Document, outcome: Document | None) -> Document:
    """Return a row of ``jobs``."""
    created = spec.pop("created")
    state, ended = JobState.QUEUED, None
    if row.status == "CANCELLED":
        state, ended = JobState.CANCELLED, row.completed_at
    elif outcome is not None:
        state, ended = JobState(outcome["state"]), outcome.get("ended") or row.completed_at
    return {
        "id": row.workflow_uuid,
        "owner": row.authenticated_user,
        "backend": spec["backend"],
        "priority": spec["priority"],
        "state": state.value,
        "format": tables.FORMAT,
        "spec": documents.to_json(spec),
        "created": created,
        "started": row.started_at_epoch_ms,
        "ended": (ended or documents.now()) if state.ended else None,
        "attempts": row.recovery_attempts or 0,
    }


def _delete(source: sa.Connection, schema: str | None, job_ids: list[str]) -> None:
    for table in (_old_table(name, schema) for name in _OLD_TABLES):
        for some in batches(job_ids):
            source.execute(sa.delete(table).where(table.c.workflow_uuid.in_(some)))


def _old_table(name: str, schema: str | None) -> sa.TableClause:
    columns = ("workflow_uuid", *_OLD_TABLES[name])
    return sa.table(name, *(sa.column(column) for column in columns), schema=schema)
