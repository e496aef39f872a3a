"""Database queries of processes that run jobs. All methods block.

A claim is a job's id and the number of its attempt. That number is a fencing token: it grows with
each claim, and writes for an older claim are ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256

import sqlalchemy as sa

from storycore_tts.adapters.queue import documents, tables
from storycore_tts.adapters.queue.documents import Document, now
from storycore_tts.adapters.queue.repository import LIVE
from storycore_tts.adapters.queue.storage import Storage, batches
from storycore_tts.adapters.queue.tables import jobs, results
from storycore_tts.domain.jobs import Failure

_QUEUED, _RUNNING = LIVE
_LOST = Failure(
    "JobLost",
    "Every process that ran this job died, so the job was abandoned.",
    hint="Look in the service's log for the cause; most likely it ran out of memory.",
    retryable=False,
)


@dataclass(frozen=True)
class Claim:
    """A job claimed by this process.

    Args:
        job_id: The job's id.
        attempt: Number of claims so far, including this one.
        backend: Name of the adapter that runs it.
        spec: The job's spec as JSON.
    """

    job_id: str
    attempt: int
    backend: str
    spec: str


@dataclass(frozen=True)
class Standing:
    """A job's state in the database.

    Args:
        state: A value of ``JobState``.
        attempt: Number of claims so far.
        is_ours: Whether no other process runs it.
        progress: Progress as JSON; None: none yet.
    """

    state: str
    attempt: int
    is_ours: bool
    progress: str | None


class Claims:
    """The jobs that a process claims and runs.

    Args:
        storage: The database.
        worker: Name of the process.
        max_attempts: Maximum number of attempts for a job whose process dies each time.
    """

    def __init__(self, storage: Storage, worker: str, max_attempts: int) -> None:
        self._storage = storage
        self._worker = worker
        self._max_attempts = max_attempts

    def claim(self, room: Mapping[str, int]) -> list[Claim]:
        """Claim the most urgent queued jobs.

        Args:
            room: Maximum number of jobs to claim, by backend.
        """
        if not self._is_any_queued(room):
            return []  # without a lock on the database
        with self._storage.writing() as connection:
            found = [
                Claim(row.id, row.attempts + 1, backend, row.spec)
                for backend, number in room.items()
                for row in connection.execute(_next_of(backend, number))
            ]
            dying = [claim for claim in found if claim.attempt > self._max_attempts]
            for claim in dying:
                is_it = jobs.c.id == claim.job_id
                end(self._storage, connection, claim.job_id, is_it, documents.of_failure(_LOST))
            claims = [claim for claim in found if claim not in dying]
            connection.execute(
                jobs.update()
                .where(jobs.c.id.in_([claim.job_id for claim in claims]))
                .values(
                    state=_RUNNING,
                    worker=self._worker,
                    attempts=jobs.c.attempts + 1,
                    started=now(),
                    progress=None,
                )
            )
        return claims

    def note(self, job_id: str, attempt: int, progress: str) -> None:
        """Write a running job's progress."""
        ours = sa.and_(_is_ours(job_id, attempt), jobs.c.state == _RUNNING)
        with self._storage.writing() as connection:
            connection.execute(jobs.update().where(ours).values(progress=progress))

    def finish(
        self, job_id: str, attempt: int, document: Document, audio: bytes, progress: str | None
    ) -> bool:
        """Write a job's final state, outcome and audio in one transaction.

        Returns:
            False if nothing was written, because the job has already ended, for example by a
            cancellation, or was claimed again.
        """
        ours = sa.and_(_is_ours(job_id, attempt), jobs.c.state.in_(LIVE))
        with self._storage.writing() as connection:
            return end(self._storage, connection, job_id, ours, document, audio, progress)

    def release(self) -> None:
        """Requeue this process's unfinished jobs; the attempt is not counted."""
        self._requeue(jobs.c.worker == self._worker, attempts=jobs.c.attempts - 1)

    def requeue_lost(self, known: Collection[str]) -> None:
        """Requeue jobs that this process has claimed but does not run.

        This happens if the connection breaks before a claim's commit is confirmed.
        """
        self._requeue(sa.and_(jobs.c.worker == self._worker, jobs.c.id.not_in(list(known))))

    def requeue(self, worker: str | None = None) -> None:
        """Requeue the jobs of a process that died; None: of all processes."""
        self._requeue(sa.true() if worker is None else jobs.c.worker == worker)

    def workers(self) -> list[str]:
        """Return the names of other processes that run jobs, according to the database."""
        wanted = sa.select(jobs.c.worker).distinct().where(jobs.c.state == _RUNNING)
        with self._storage.reading() as connection:
            found = connection.execute(wanted).scalars()
            return [worker for worker in found if worker and worker != self._worker]

    def look(self, job_ids: Collection[str]) -> dict[str, Standing]:
        """Return the state of some jobs."""
        found = {}
        columns = sa.select(
            jobs.c.id, jobs.c.state, jobs.c.attempts, jobs.c.worker, jobs.c.progress
        )
        with self._storage.reading() as connection:
            for ids in batches(job_ids):
                for row in connection.execute(columns.where(jobs.c.id.in_(ids))):
                    found[row.id] = Standing(
                        row.state, row.attempts, row.worker in (None, self._worker), row.progress
                    )
        return found

    def _is_any_queued(self, room: Mapping[str, int]) -> bool:
        wanted = sa.select(jobs.c.id).where(jobs.c.state == _QUEUED, jobs.c.backend.in_([*room]))
        with self._storage.reading() as connection:
            return connection.execute(wanted.limit(1)).first() is not None

    def _requeue(self, which: sa.ColumnElement[bool], **changes: object) -> None:
        left = sa.and_(jobs.c.state == _RUNNING, which)
        with self._storage.writing() as connection:
            connection.execute(
                jobs.update().where(left).values(state=_QUEUED, worker=None, **changes)
            )


def end(
    storage: Storage,
    connection: sa.Connection,
    job_id: str,
    condition: sa.ColumnElement[bool],
    document: Document,
    audio: bytes = b"",
    progress: str | None = None,
) -> bool:
    """Write a job's final state, outcome and audio, in a transaction.

    Args:
        storage: The database.
        connection: The transaction.
        job_id: Id of the job.
        condition: Selects the job, unless it must not be changed.
        document: The outcome.
        audio: The audio file.
        progress: The progress as JSON.

    Returns:
        Whether the condition selected the job.
    """
    changes = {"state": document["state"], "ended": now(), "progress": progress}
    if not connection.execute(jobs.update().where(condition).values(changes)).rowcount:
        return False
    row = {
        "job_id": job_id,
        "document": documents.to_json(document),
        "media_type": document.get("media_type", ""),
        "etag": sha256(audio).hexdigest(),
        "audio": audio,
    }
    storage.upsert(connection, results, row, "document", "media_type", "etag", "audio")
    return True


def _next_of(backend: str, limit: int) -> sa.Select[tuple[str, int, str]]:
    """Select the next jobs of a backend; other processes skip the locked rows."""
    return (
        sa.select(jobs.c.id, jobs.c.attempts, jobs.c.spec)
        .where(
            jobs.c.state == _QUEUED,
            jobs.c.backend == backend,
            jobs.c.format <= tables.FORMAT,
        )
        .order_by(jobs.c.priority.desc(), jobs.c.number)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _is_ours(job_id: str, attempt: int) -> sa.ColumnElement[bool]:
    return sa.and_(jobs.c.id == job_id, jobs.c.attempts == attempt)
