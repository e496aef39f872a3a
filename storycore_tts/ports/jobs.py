"""The port for work that must survive this process, and for what it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import Job, JobHandler, JobSpec, JobState, StoredAudio


@runtime_checkable
class JobQueue(Protocol):
    """Keeps jobs, has them done, and keeps what they made.

    What ``submit`` returned is never lost: a job that was under way when its process was killed is
    done by the next process, or by another one that shares the database.
    """

    async def start(self, perform: JobHandler) -> None:
        """Begin to do jobs, those first that were left by a process that was killed.

        Raises:
            StorageFailed: The database cannot be reached, or another process has the folder.
        """

    async def submit(self, spec: JobSpec) -> Job:
        """Accept a job; when this returns, it is on disk.

        Returns:
            The new job, or the one that has the same owner and idempotency key.

        Raises:
            IdempotencyConflict: That key stands for an order of another content.
            TooManyJobs: As many jobs wait in the database as may.
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
        """Forget a job that has ended, and the sound that it made.

        Returns:
            The job as it stood.

        Raises:
            JobNotFound: The owner has no such job.
            JobNotReady: It has not ended.
        """

    async def audio(self, owner: str, job_id: str) -> StoredAudio:
        """Return the sound file that a job made.

        Raises:
            JobNotFound: The owner has no such job.
            JobNotReady: It has not succeeded, or makes no sound.
        """

    def watch(self, owner: str, job_id: str) -> AsyncIterator[Job]:
        """Yield the job as it stands, and again at each change, until it has ended.

        Raises:
            JobNotFound: The owner has no such job.
        """

    async def counts(self) -> Mapping[JobState, int]:
        """Return how many jobs of all owners are queued and running."""

    async def aclose(self) -> None:
        """Stop. What is under way is put down, to be taken up at the next start.

        Cancelled meanwhile, it stops all the same, and raises the cancellation then.
        """


@runtime_checkable
class UploadStore(Protocol):
    """Keeps the recordings that people sent, where each process that does jobs can read them."""

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
    """Keeps where jobs were begun, so that another process can go on with them there."""

    async def find(self, job_id: str) -> BackendEndpoint | None:
        """Return where a job was begun; None if it was not, or is kept no more.

        Raises:
            StorageFailed: The database fails for long.
        """

    async def note(self, job_id: str, endpoint: BackendEndpoint) -> None:
        """Write down where a job is begun now.

        Raises:
            StorageFailed: The database fails for long.
        """
