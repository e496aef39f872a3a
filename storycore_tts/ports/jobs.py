"""The ports for jobs that survive restarts: the queue, uploads and backend endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import (
    Failure,
    Job,
    JobHandler,
    JobSpec,
    JobState,
    StoredAudio,
    Withdrawn,
)


@runtime_checkable
class JobQueue(Protocol):
    """Stores jobs, runs them and stores their results.

    A job returned by ``submit`` is never lost: if its process is killed, the job is run by the next
    process or by another one that shares the database.
    """

    async def start(self, perform: JobHandler) -> None:
        """Start running jobs, including those of a killed process.

        Args:
            perform: Runs one job.

        Raises:
            StorageFailed: The database cannot be reached, or another process uses the folder.
        """

    async def submit(self, spec: JobSpec) -> Job:
        """Queue a job. When this returns, the job is on disk.

        Returns:
            The new job, or the existing one with the same owner and idempotency key.

        Raises:
            IdempotencyConflict: A job with different content has the same key.
            TooManyJobs: The queue is full.
            StorageFailed: The database failed; the job was not queued.
        """

    async def get(self, owner: str, job_id: str) -> Job:
        """Return the current state of an owner's job.

        Raises:
            JobNotFound: The owner has no such job.
        """

    async def jobs(
        self, owner: str, *, state: JobState | None = None, limit: int = 50, offset: int = 0
    ) -> Sequence[Job]:
        """List an owner's jobs, newest first."""

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Cancel a job, also on the backend. Does nothing if the job has ended.

        Returns:
            The updated job: cancelled, unless it had already ended.

        Raises:
            JobNotFound: The owner has no such job.
        """

    async def remove(self, owner: str, job_id: str) -> Job:
        """Delete a job that has ended, and its audio.

        Returns:
            The deleted job.

        Raises:
            JobNotFound: The owner has no such job.
            JobNotReady: The job has not ended.
        """

    async def withdraw(self, consent_id: str, recording: bytes, failure: Failure) -> Withdrawn:
        """Let all owners' unfinished jobs in a voice fail, and delete the copies of its recording.

        When this returns, none of these jobs can succeed any more.

        Args:
            consent_id: Id of the consent that was revoked; "": only copies are deleted.
            recording: The file of the recording; b"": only the copies of these jobs are deleted.
            failure: The error of the jobs.

        Raises:
            StorageFailed: The database failed; nothing was changed.
        """

    async def audio(self, owner: str, job_id: str) -> StoredAudio:
        """Return a job's audio file.

        Raises:
            JobNotFound: The owner has no such job.
            JobNotReady: The job has not succeeded, or its kind produces no audio.
        """

    def watch(self, owner: str, job_id: str) -> AsyncIterator[Job]:
        """Yield the job's current state, then again at each change until it ends.

        Raises:
            JobNotFound: The owner has no such job.
        """

    async def counts(self) -> Mapping[JobState, int]:
        """Return the number of queued and running jobs of all owners."""

    async def aclose(self) -> None:
        """Close the queue. Running jobs are suspended, and resume at the next start.

        If cancelled, it still finishes closing, then raises ``CancelledError``.
        """


@runtime_checkable
class UploadStore(Protocol):
    """Stores uploaded recordings where all processes that run jobs can read them."""

    async def put(self, owner: str, data: bytes) -> str:
        """Store an upload. The same bytes from the same owner have the same id.

        Returns:
            An id that cannot be guessed without the bytes.

        Raises:
            StorageFailed: The database failed.
        """

    async def get(self, owner: str, upload_id: str) -> bytes:
        """Return the bytes of an upload.

        Raises:
            UploadNotFound: The owner has no such upload, or it has expired.
        """


@runtime_checkable
class JobAffinityStore(Protocol):
    """Records at which endpoint jobs were started, so that other processes can resume them."""

    async def find(self, job_id: str) -> BackendEndpoint | None:
        """Return where a job was started; None if it was not started, or was removed.

        Raises:
            StorageFailed: The database fails for long.
        """

    async def note(self, job_id: str, endpoint: BackendEndpoint) -> None:
        """Record where a job is started.

        Raises:
            StorageFailed: The database fails for long.
        """
