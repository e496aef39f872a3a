"""What is asked of the databases for the sake of the queue; all of it blocks."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from uuid import UUID, uuid4

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.documents import Document
from storycore_tts.adapters.queue.runtime import Entry, Runtime
from storycore_tts.adapters.queue.states import STATUSES, job_of, state_of
from storycore_tts.adapters.queue.tables import Tables
from storycore_tts.domain.jobs import (
    IdempotencyConflict,
    Job,
    JobNotFound,
    JobNotReady,
    JobSpec,
    JobState,
    StoredAudio,
    UploadNotFound,
)

_UPLOAD = re.compile(r"up_[0-9a-f]{48}")
_PAGE = 200  # jobs that are looked at together where DBOS cannot tell the state


class JobRepository:
    """Jobs and uploads of owners.

    Args:
        runtime: Where jobs are.
        tables: Where the rest is.
        max_queued: Jobs that may wait in the database.
    """

    def __init__(self, runtime: Runtime, tables: Tables, max_queued: int) -> None:
        self._runtime = runtime
        self._tables = tables
        self._max_queued = max_queued
        self._secret = b""

    def open(self) -> None:
        """Read the secret that ids are made with."""
        self._secret = self._tables.secret()

    def accept(self, spec: JobSpec) -> Job:
        """Write an order down, unless it is there already."""
        document = documents.spec_to_json(spec)
        if spec.idempotency_key is None:
            job_id = str(uuid4())
        else:
            job_id = self._named_id(spec.owner, spec.idempotency_key)
            earlier = self._runtime.entry(job_id)
            if earlier is not None:
                return self._same(earlier, document)
        self._tables.touch_uploads(uploads_in(document))
        owner = self._tag("owner", spec.owner)
        if not self._runtime.enqueue(job_id, owner, document, self._max_queued):
            earlier = self._runtime.entry(job_id)  # another process was faster
            if earlier is not None:
                return self._same(earlier, document)
        return Job(
            job_id,
            documents.spec_from_json(document),
            JobState.QUEUED,
            documents.moment(documents.created_in(document)),
        )

    def find(self, owner: str, job_id: str) -> Job:
        """Return a job of an owner."""
        entry = self._runtime.entry(job_id) if _is_id(job_id) else None
        if entry is None or entry.owner != self._tag("owner", owner):
            raise JobNotFound(
                "There is no such job.",
                hint="Jobs are removed some time after they have ended.",
            )
        return self._jobs([entry])[0]

    def page(self, owner: str, state: JobState | None, limit: int, offset: int) -> list[Job]:
        """Return jobs of an owner, the youngest first."""
        if limit <= 0:
            return []
        tag = self._tag("owner", owner)
        if state not in (JobState.SUCCEEDED, JobState.FAILED):
            statuses = [] if state is None else STATUSES[state]
            return self._jobs(self._runtime.page(tag, statuses, limit=limit, offset=offset))
        return self._jobs(list(islice(self._in_state(tag, state), offset, offset + limit)))

    def _in_state(self, tag: str, state: JobState) -> Iterator[Entry]:
        """Yield the jobs of an owner in a state that DBOS cannot tell, the youngest first."""
        looked_at = 0
        while True:
            some = self._runtime.page(tag, STATUSES[state], limit=_PAGE, offset=looked_at)
            yield from (entry for entry in some if state_of(entry) is state)
            looked_at += len(some)
            if len(some) < _PAGE:
                return

    def audio(self, job: Job) -> StoredAudio:
        """Return the sound of a job."""
        if job.state is not JobState.SUCCEEDED:
            raise JobNotReady(
                f"The job is {job.state.value}, so that there is no sound.",
                hint=None if job.state.ended else "Ask again when it has succeeded.",
            )
        audio = self._tables.audio(job.id)
        if audio is None:
            raise JobNotReady("The job makes no sound.")
        return audio

    def put_upload(self, owner: str, data: bytes) -> str:
        """Keep an upload."""
        tag = self._tag("owner", owner)
        digest = hmac.new(self._secret, b"upload" + tag.encode() + data, sha256).hexdigest()
        upload_id = f"up_{digest[:48]}"
        self._tables.put_upload(upload_id, tag, data)
        return upload_id

    def upload(self, owner: str, upload_id: str) -> bytes:
        """Return an upload of an owner."""
        known = _UPLOAD.fullmatch(upload_id)
        data = self._tables.upload(upload_id, self._tag("owner", owner)) if known else None
        if data is None:
            raise UploadNotFound(
                "There is no such upload.", hint="They are removed after some time; send it again."
            )
        self._tables.touch_uploads([upload_id])
        return data

    def _jobs(self, entries: list[Entry]) -> list[Job]:
        notes = self._tables.notes([entry.id for entry in entries]) if entries else {}
        jobs = [job_of(entry, notes.get(entry.id)) for entry in entries]
        return sorted(jobs, key=lambda job: job.created, reverse=True)  # finer than DBOS's seconds

    def _same(self, earlier: Entry, document: Document) -> Job:
        if earlier.spec is None or not documents.same_spec(earlier.spec, document):
            raise IdempotencyConflict(
                "Another order was given under this idempotency key.",
                hint="Take a new key for a new order, and the old order for the old key.",
            )
        return self._jobs([earlier])[0]

    def _named_id(self, owner: str, key: str) -> str:
        """Return the id of the job with a key, which nobody can guess who lacks the secret."""
        digest = hmac.new(self._secret, _joined("job", owner, key), sha256).digest()
        return str(UUID(bytes=digest[:16], version=4))

    def _tag(self, *parts: str) -> str:
        return hmac.new(self._secret, _joined(*parts), sha256).hexdigest()


def uploads_in(document: Document) -> set[str]:
    """Return the ids of the uploads that an order names, wherever in its details."""
    return set(_UPLOAD.findall(documents.written(document["details"])))


def _joined(*parts: str) -> bytes:
    return json.dumps(parts).encode()


def _is_id(job_id: str) -> bool:
    try:
        return str(UUID(job_id)) == job_id
    except (ValueError, AttributeError, TypeError):
        return False
