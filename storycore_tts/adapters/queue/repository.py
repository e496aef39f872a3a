"""Database queries of owners about their jobs. All methods block."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from storycore_tts.adapters.queue import documents, tables
from storycore_tts.adapters.queue.documents import now
from storycore_tts.adapters.queue.identifiers import Identifiers, is_job_id, uploads_in
from storycore_tts.adapters.queue.storage import SUBMISSION_LOCK, Storage
from storycore_tts.adapters.queue.tables import jobs, results
from storycore_tts.adapters.queue.uploads import touch
from storycore_tts.domain.jobs import (
    IdempotencyConflict,
    Job,
    JobNotFound,
    JobNotReady,
    JobSpec,
    JobState,
    StoredAudio,
    TooManyJobs,
)
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import StorageFailed

_log = logging.getLogger(__name__)

LIVE = (JobState.QUEUED.value, JobState.RUNNING.value)
_WITH_RESULTS = sa.select(jobs, results.c.document).join_from(
    jobs, results, jobs.c.id == results.c.job_id, isouter=True
)


class JobRepository:
    """The jobs of owners.

    Args:
        storage: The database.
        identifiers: Generates ids.
        max_queued: Maximum number of queued jobs in the database, from all processes.
    """

    def __init__(self, storage: Storage, identifiers: Identifiers, max_queued: int) -> None:
        self._storage = storage
        self._identifiers = identifiers
        self._max_queued = max_queued

    def accept(self, spec: JobSpec) -> Job:
        """Insert a job's row, unless one exists for its idempotency key."""
        text = documents.spec_to_json(spec)
        created = now()
        job_id = self._identifiers.job(spec.owner, spec.idempotency_key)
        row = {
            "id": job_id,
            "owner": self._identifiers.owner(spec.owner),
            "backend": spec.backend,
            "priority": spec.priority,
            "state": JobState.QUEUED.value,
            "format": tables.FORMAT,
            "spec": text,
            "created": created,
            "attempts": 0,
        }
        with self._storage.writing(SUBMISSION_LOCK) as connection:
            earlier = None
            if spec.idempotency_key is not None:
                earlier = self._row(connection, jobs.c.id == job_id)
            if earlier is None:
                self._check_room(connection)
                touch(connection, uploads_in(spec.details))
                connection.execute(jobs.insert().values(row))
        if earlier is None:
            return Job(
                job_id, documents.spec_from_json(text), JobState.QUEUED,
                documents.moment(created),
            )  # fmt: skip
        if not documents.same_spec(earlier.spec, text):
            raise IdempotencyConflict(
                "This idempotency key was used for a job with different content.",
                hint="Use a new key for a new job, or send the same content as before.",
            )
        return documents.job_from_row(earlier)

    def _check_room(self, connection: sa.Connection) -> None:
        waiting = sa.select(sa.func.count()).where(jobs.c.state == JobState.QUEUED.value)
        if connection.execute(waiting).scalar_one() >= self._max_queued:
            raise TooManyJobs(
                f"The queue is full: {self._max_queued} jobs are waiting.", hint="Try again later."
            )

    def find(self, owner: str, job_id: str) -> Job:
        """Return an owner's job."""
        row = None
        if is_job_id(job_id):
            with self._storage.reading() as connection:
                row = self._row(connection, self._is(owner, job_id))
        if row is None:
            raise JobNotFound(
                "There is no such job.",
                hint="Jobs are removed some time after they have ended.",
            )
        return documents.job_from_row(row)

    def page(self, owner: str, state: JobState | None, limit: int, offset: int) -> list[Job]:
        """Return an owner's jobs, newest first. Those that cannot be read are logged instead."""
        if limit <= 0:
            return []
        wanted = _WITH_RESULTS.where(jobs.c.owner == self._identifiers.owner(owner))
        if state is not None:
            wanted = wanted.where(jobs.c.state == state.value)
        wanted = wanted.order_by(jobs.c.number.desc()).limit(limit).offset(offset)
        with self._storage.reading() as connection:
            rows = connection.execute(wanted).all()
        found = []
        for row in rows:
            try:
                found.append(documents.job_from_row(row))
            except StorageFailed as error:
                log_event(_log, logging.ERROR, "job.unreadable", job=row.id, reason=error.message)
        return found

    def cancel(self, owner: str, job_id: str, progress: str | None) -> bool:
        """Cancel a job, unless it has ended.

        Args:
            owner: The job's owner.
            job_id: The job's id.
            progress: The latest progress known to this process; None: nothing new.

        Returns:
            Whether this call ended the job.
        """
        changes = {"state": JobState.CANCELLED.value, "ended": now()}
        if progress is not None:
            changes["progress"] = progress
        is_live = sa.and_(self._is(owner, job_id), jobs.c.state.in_(LIVE))
        with self._storage.writing() as connection:
            done = connection.execute(jobs.update().where(is_live).values(changes))
        return done.rowcount > 0

    def audio(self, job: Job) -> StoredAudio:
        """Return a job's audio."""
        if job.state is not JobState.SUCCEEDED:
            raise JobNotReady(
                f"The job is {job.state.value}, so there is no audio.",
                hint=None if job.state.ended else "Try again when it has succeeded.",
            )
        wanted = sa.select(results.c.audio, results.c.media_type, results.c.etag)
        with self._storage.reading() as connection:
            row = connection.execute(wanted.where(results.c.job_id == job.id)).one_or_none()
        if row is None or not row.audio:
            raise JobNotReady("This job produces no audio.")
        return StoredAudio(bytes(row.audio), row.media_type, row.etag)

    def counts(self) -> dict[JobState, int]:
        """Return the number of queued and running jobs of all owners."""
        wanted = (
            sa.select(jobs.c.state, sa.func.count())
            .where(jobs.c.state.in_(LIVE))
            .group_by(jobs.c.state)
        )
        counts = dict.fromkeys((JobState.QUEUED, JobState.RUNNING), 0)
        with self._storage.reading() as connection:
            return counts | {JobState(row[0]): row[1] for row in connection.execute(wanted)}

    def _is(self, owner: str, job_id: str) -> sa.ColumnElement[bool]:
        return sa.and_(jobs.c.id == job_id, jobs.c.owner == self._identifiers.owner(owner))

    @staticmethod
    def _row(
        connection: sa.Connection, condition: sa.ColumnElement[bool]
    ) -> sa.Row[tuple[object, ...]] | None:
        return connection.execute(_WITH_RESULTS.where(condition)).one_or_none()
