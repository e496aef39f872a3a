"""Jobs: work that was accepted, and is kept until it has ended."""

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
"""The least and the most urgent."""

SUSPENDED = "suspended"
"""The message of the ``CancelledError`` that a handler gets when the process ends and the job does
not. The job will be taken up again, so the handler need not cancel it on the backend."""


class JobKind(str, Enum):
    """What a job makes."""

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
        """Whether nothing more will happen."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class JobSpec:
    """What a job is to do.

    Args:
        kind: What it makes.
        backend: Name of the adapter that does it; each has its own number of jobs at a time.
        details: The request, as JSON; ``services.job_specs`` writes and reads it.
        owner: Whose job it is; other owners do not see it.
        priority: −10..10; the greatest goes first.
        time_limit: Seconds from its start to its end at most; None: the limit of the settings.
        idempotency_key: The owner's name for this job. Submitted again with the same key, it is the
            same job. None: always a new one.

    Raises:
        InvalidRequest: A value out of its range.
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
    """What a job made.

    Args:
        facts: Its details, as JSON: duration, seed, model, a checkpoint's path, …
        audio: An audio file; b"" if it made none.
        media_type: Of the audio file.
    """

    facts: JSON
    audio: bytes = b""
    media_type: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a job failed, as it is kept.

    Args:
        error: Name of the error's class, see ``errors``.
        message: What went wrong, and on which side.
        hint: What to do next; None when there is nothing to advise.
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
        """Describe an error."""
        return cls(type(error).__name__, error.message, error.hint, error.backend, error.retryable)


@dataclass(frozen=True)
class Job:
    """A job as it stands.

    Args:
        id: A UUID that cannot be guessed; the ComfyUI prompt has the same.
        spec: What it is to do.
        state: Its state.
        created: When it was accepted, in UTC.
        started: When work on it began, the last time; None if it has not.
        ended: When it ended; None if it has not.
        progress: The latest progress; None before the first report.
        facts: Details of its outcome; empty unless it succeeded.
        media_type: Of the audio file that it made; "" for none.
        failure: Why it failed; None unless it did.
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
    """An audio file that a job made.

    Args:
        data: Its bytes.
        media_type: What HTTP calls its format.
        etag: A name of its content, in hexadecimal digits.
    """

    data: bytes
    media_type: str
    etag: str


JobHandler: TypeAlias = Callable[[str, JobSpec, OnProgress], Awaitable[Outcome]]
"""Does a job, given its id, its spec and where to report progress. Called again with the same id,
it must go on with what a backend still knows of the job instead of starting over."""


class JobNotFound(InvalidRequest):
    """There is no such job, or it has another owner, or it was removed after its time."""


class UploadNotFound(InvalidRequest):
    """There is no such upload, or it has another owner, or it was removed after its time."""


class JobNotReady(InvalidRequest):
    """The job has no audio, or none yet."""


class IdempotencyConflict(InvalidRequest):
    """A job with other content was submitted with the same idempotency key."""


class TooManyJobs(TTSError):
    """The queue is full; nothing was accepted."""

    is_retryable = True
