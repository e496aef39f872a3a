"""The port for work that must survive this process, and for what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import Job, JobHandler, JobSpec, JobState, StoredAudio


@runtime_checkable
class JobQueue(Protocol):
    """Keeps jobs, runs them, and keeps their results.

    A job that ``submit`` returned is never lost: if its process is killed, the next process does
    it, or another one that shares the database.
    """

    async def start(self, perform: JobHandler) -> None:
        """Begin to do jobs, including those that a killed process left.

        Raises:
            StorageFailed: The database cannot be reached, or another process uses the folder.
        """

    async def submit(self, spec: JobSpec) -> Job:
        """Accept a job; when this returns, it is on disk.

        Returns:
            The new job, or the one that has the same owner and idempotency key.

        Raises:
            IdempotencyConflict: A job with other content has that key.
            TooManyJobs: The queue is full.
            StorageFailed: The database refuses; nothing was accepted.
        """

    async def get(self, owner: str, job_id: str) -> Job:
        """Return a job of this owner as it stands.

        Raises:
            JobNotFound: The owner has no such job.
        """

    async def jobs(
        self, owner: str, *, state: JobState | None = None, limit: int = 50, offset: int = 0
    ) -> Sequence[Job]:
        """List the jobs of an owner, the youngest first."""

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Stop a job, on the backend too; one that has ended stays as it is.

        Returns:
            The job as it stands afterwards: cancelled, unless it had ended before.

        Raises:
            JobNotFound: The owner has no such job.
        """

    async def remove(self, owner: str, job_id: str) -> Job:
        """Delete a job that has ended, and its audio.

        Returns:
            The job as it stood.

        Raises:
            JobNotFound: The owner has no such job.
            JobNotReady: It has not ended.
        """

    async def audio(self, owner: str, job_id: str) -> StoredAudio:
        """Return the audio file that a job made.

        Raises:
            JobNotFound: The owner has no such job.
            JobNotReady: It has not succeeded, or makes no audio.
        """

    def watch(self, owner: str, job_id: str) -> AsyncIterator[Job]:
        """Yield the job as it stands, and again at each change, until it has ended.

        Raises:
            JobNotFound: The owner has no such job.
        """

    async def counts(self) -> Mapping[JobState, int]:
        """Return how many jobs of all owners are queued and running."""

    async def aclose(self) -> None:
        """Stop. Jobs that are under way are suspended, and go on at the next start.

        Cancelled meanwhile, it stops all the same, and raises the cancellation then.
        """


@runtime_checkable
class UploadStore(Protocol):
    """Keeps the recordings that clients sent, where each process that does jobs can read them."""

    async def put(self, owner: str, data: bytes) -> str:
        """Keep some bytes; the same bytes of the same owner have the same id.

        Returns:
            An id that cannot be guessed without the bytes.

        Raises:
            StorageFailed: The database refuses.
        """

    async def get(self, owner: str, upload_id: str) -> bytes:
        """Return the bytes.

        Raises:
            UploadNotFound: The owner has no such upload, or its time is over.
        """


@runtime_checkable
class JobAffinityStore(Protocol):
    """Remembers at which endpoint jobs were begun, so that another process can go on there."""

    async def find(self, job_id: str) -> BackendEndpoint | None:
        """Return where a job was begun; None if it was not begun, or was removed.

        Raises:
            StorageFailed: The database fails for long.
        """

    async def note(self, job_id: str, endpoint: BackendEndpoint) -> None:
        """Record where a job is begun now.

        Raises:
            StorageFailed: The database fails for long.
        """
