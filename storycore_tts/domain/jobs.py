"""Jobs: accepted work that is stored until it has finished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias

from storycore_tts.domain.progress import OnProgress, Progress
from storycore_tts.errors import InvalidRequest, TTSError, check_range

JSON: TypeAlias = Mapping[str, Any]
"""A JSON object."""

PRIORITIES = (-10, 10)
"""Lowest and highest priority."""

SUSPENDED = "suspended"
"""Message of the ``CancelledError`` that a handler receives when the process shuts down during a
job. The job is resumed later, so the handler need not cancel it on the backend."""


class JobKind(str, Enum):
    """Kind of job."""

    SPEECH = "speech"
    CLONE = "clone"
    TRAINING = "training"


class JobState(str, Enum):
    """The state of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class JobSpec:
    """Specification of a job.

    Args:
        kind: Kind of job.
        backend: Name of the adapter that runs it; each has its own concurrency limit.
        details: The request, as JSON; ``services.job_specs`` writes and reads it.
        owner: Name of the owner; other owners do not see the job.
        priority: −10..10; the highest runs first.
        time_limit: Maximum seconds from start to end; None: the limit of the settings.
        idempotency_key: Key chosen by the owner. Submitting again with the same key returns the
            same job. None: always a new job.

    Raises:
        InvalidRequest: A value is out of range.
    """

    kind: JobKind
    backend: str
    details: JSON
    owner: str
    priority: int = 0
    time_limit: float | None = None
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        check_range("priority", self.priority, *PRIORITIES, whole=True)
        if self.time_limit is not None:
            check_range("time_limit", self.time_limit, 0.1, 31_536_000)


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Args:
        facts: Details of the result, as JSON: duration, seed, model, path of a checkpoint, …
        audio: The audio file; b"" if there is none.
        media_type: Media type of the audio file.
    """

    facts: JSON
    audio: bytes = b""
    media_type: str = ""


@dataclass(frozen=True)
class Failure:
    """Stored error of a failed job.

    Args:
        error: Class name of the error; see ``errors``.
        message: What went wrong, and on which side.
        hint: What to do next; None if there is no advice.
        backend: The adapter that raised it; None: another part of the package.
        retryable: Whether the same job may succeed later.
    """

    error: str
    message: str
    hint: str | None = None
    backend: str | None = None
    retryable: bool = False

    @classmethod
    def of(cls, error: TTSError) -> Failure:
        """Return the stored form of an error."""
        return cls(type(error).__name__, error.message, error.hint, error.backend, error.retryable)


@dataclass(frozen=True)
class Job:
    """Current state of a job.

    Args:
        id: Random UUID, also used as the id of the ComfyUI prompt.
        spec: Specification of the job.
        state: Its state.
        created: Time at which it was accepted, in UTC.
        started: Time of its latest start; None if it has not started.
        ended: Time at which it ended; None if it has not ended.
        progress: The latest progress; None before the first report.
        facts: Details of its outcome; empty unless it succeeded.
        media_type: Media type of its audio file; "" if there is none.
        failure: The error; None unless it failed.
    """

    id: str
    spec: JobSpec
    state: JobState
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    progress: Progress | None = None
    facts: JSON = field(default_factory=dict)
    media_type: str = ""
    failure: Failure | None = None


@dataclass(frozen=True)
class StoredAudio:
    """Audio file of a job.

    Args:
        data: Contents of the file.
        media_type: Media type of the file.
        etag: Hash of the contents, in hexadecimal.
    """

    data: bytes
    media_type: str
    etag: str


@dataclass(frozen=True)
class Withdrawn:
    """The jobs in a voice whose consent was revoked.

    Args:
        ended: Ids of the jobs that had not ended, and have failed now.
        outputs: Ids of the jobs that had succeeded; their audio is kept.
    """

    ended: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


JobHandler: TypeAlias = Callable[[str, JobSpec, OnProgress], Awaitable[Outcome]]
"""Runs a job, given its id, its spec and a progress callback. When called again with the same id,
it must resume the job if the backend still knows it, instead of starting over."""


class JobNotFound(InvalidRequest):
    """The job does not exist, belongs to another owner, or has expired."""


class UploadNotFound(InvalidRequest):
    """The upload does not exist, belongs to another owner, or has expired."""


class JobNotReady(InvalidRequest):
    """The job has no audio, or has not finished."""


class IdempotencyConflict(InvalidRequest):
    """The idempotency key was already used for a different job."""


class TooManyJobs(TTSError):
    """The queue is full; the job was not accepted."""

    is_retryable = True
