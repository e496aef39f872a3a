"""Ends the jobs in a voice whose consent was revoked. All functions block."""

from __future__ import annotations

import json
from pathlib import Path

import sqlalchemy as sa

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.claims import end
from storycore_tts.adapters.queue.identifiers import uploads_in
from storycore_tts.adapters.queue.repository import LIVE
from storycore_tts.adapters.queue.storage import SUBMISSION_LOCK, Storage, batches
from storycore_tts.adapters.queue.tables import jobs, uploads
from storycore_tts.domain.jobs import JSON, Failure, JobState, Withdrawn


def withdraw(storage: Storage, consent_id: str, recording: bytes, failure: Failure) -> Withdrawn:
    """Let unfinished jobs in a voice fail; see ``JobQueue.withdraw``."""
    ended, outputs, copies = list[str](), list[str](), set[str]()
    document = documents.of_failure(failure)
    with storage.writing(SUBMISSION_LOCK) as connection:  # no job is accepted during this
        for job_id, state, details in _of_consent(connection, consent_id):
            copies |= uploads_in(details)
            if state == JobState.SUCCEEDED.value:
                outputs.append(job_id)
            is_live = sa.and_(jobs.c.id == job_id, jobs.c.state.in_(LIVE))
            if state in LIVE and end(storage, connection, job_id, is_live, document):
                ended.append(job_id)
        for upload_ids in batches(sorted(copies)):
            connection.execute(uploads.delete().where(uploads.c.id.in_(upload_ids)))
        if recording:
            is_copy = sa.and_(
                sa.func.length(uploads.c.data) == len(recording), uploads.c.data == recording
            )
            connection.execute(uploads.delete().where(is_copy))
    return Withdrawn(tuple(ended), tuple(outputs))


def withdraw_from(
    state_dir: Path,
    database_url: str | None,
    consent_id: str,
    recording: bytes,
    failure: Failure,
) -> Withdrawn:
    """Do the same from a process that runs no queue; a service that does notices it.

    Args:
        state_dir: Folder of the database file; not used if there is a URL.
        database_url: See ``DurableQueue``.
        consent_id: See ``JobQueue.withdraw``.
        recording: See ``JobQueue.withdraw``.
        failure: See ``JobQueue.withdraw``.

    Raises:
        StorageFailed: The database failed.
    """
    storage = Storage(database_url, state_dir)
    try:
        return withdraw(storage, consent_id, recording, failure)
    finally:
        storage.close()


def _of_consent(connection: sa.Connection, consent_id: str) -> list[tuple[str, str, JSON]]:
    """Return id, state and details of each job under a consent."""
    if not consent_id:
        return []
    wanted = sa.select(jobs.c.id, jobs.c.state, jobs.c.spec).order_by(jobs.c.number)
    rows = connection.execute(wanted.where(jobs.c.spec.contains(consent_id, autoescape=True)))
    with documents.reading():
        found = [(row.id, row.state, json.loads(row.spec)["details"]) for row in rows]
        return [one for one in found if _names(one[2], consent_id)]


def _names(details: JSON, consent_id: str) -> bool:
    """Return whether a job is under a consent; the id may also be part of its text."""
    given = details["request"].get("voice_consent")
    return given is not None and given["id"] == consent_id
