"""The errors that this package raises on purpose.

::

    TTSError
    ├── InvalidRequest          invalid input, found before any GPU work; no retry, no fallback
    │   ├── UnknownSpeaker
    │   ├── UnsupportedLanguage
    │   ├── UnsupportedByBackend
    │   ├── InvalidReferenceAudio
    │   │   ├── RecordingTooLarge
    │   │   └── UnsupportedRecording
    │   └── InvalidDataset
    ├── ConsentRefused          the consent to the use of a voice is missing, revoked or expired
    ├── ConfigurationError      an invalid setting in a file or in the environment
    ├── BackendUnavailable      unreachable, overloaded or incomplete: retry or fall back
    │   ├── BackendTimeout
    │   ├── BackendOverloaded
    │   └── NodePackMissing
    ├── GenerationFailed        the backend accepted the job and failed
    │   ├── OutOfMemory
    │   ├── RunawayGeneration
    │   ├── SilentAudio
    │   └── JobLost
    ├── StorageFailed           a local file or folder is inaccessible or damaged
    ├── MarkingFailed           a sound file cannot be signed or watermarked
    ├── AuthenticationFailed
    └── JobCancelled

The message says what went wrong and on which side; ``hint`` says what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import ClassVar


class TTSError(Exception):
    """Base class of all errors that this package raises on purpose.

    Args:
        message: What went wrong, and on which side.
        hint: What to do next; None if there is no advice.
        backend: Name of the adapter that raised it ("comfyui", "draft", …), if any.
        retryable: Whether the same call may succeed later; None: the default of the class.
    """

    is_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        backend: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.backend = backend
        self.retryable = self.is_retryable if retryable is None else retryable

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        return f"{as_sentence(self.message)} {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling: by default, exceptions keep positional arguments only."""
        return _restored, (type(self), self.args, self.__dict__)


class InvalidRequest(TTSError):
    """The request is invalid on any backend; no work was started."""


class UnknownSpeaker(InvalidRequest):
    """There is no voice of that name; the hint lists the available ones."""


class UnsupportedLanguage(InvalidRequest):
    """The model, or the installed node, does not support the language."""


class UnsupportedByBackend(InvalidRequest):
    """The backend does not support the operation; check ``capabilities`` before the call."""


class InvalidReferenceAudio(InvalidRequest):
    """The reference recording cannot be decoded, or contains nothing to clone."""


class RecordingTooLarge(InvalidReferenceAudio):
    """The recording's file exceeds the size limit."""


class UnsupportedRecording(InvalidReferenceAudio):
    """The recording's file format is not supported."""


class InvalidDataset(InvalidRequest):
    """The training dataset is invalid."""


class ConsentRefused(TTSError):
    """The consent to the use of a voice is missing, revoked or expired, or does not cover it."""


class ConfigurationError(TTSError, ValueError):
    """A setting is invalid; raised before any work starts.

    Args:
        source: The file or the environment variable that contains the setting.
        line: Its line in the file, from 1.
        key: Its dotted path, such as ``tts.qwen.generation.top_p``.
        value: The value found there.
        allowed: Description of the accepted values.
        unknown_key: There is no setting with that key.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        line: int | None = None,
        key: str | None = None,
        value: object = None,
        allowed: str | None = None,
        unknown_key: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.source = source
        self.line = line
        self.key = key
        self.value = value
        self.allowed = allowed
        self.unknown_key = unknown_key


class BackendUnavailable(TTSError):
    """The backend cannot be reached or used now; a retry or another backend may succeed.

    Args:
        retry_after: Seconds to wait before a retry, if the backend asked for a pause.
    """

    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        backend: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, backend=backend, retryable=retryable)
        self.retry_after = retry_after


class BackendTimeout(BackendUnavailable):
    """The backend did not answer in time.

    Args:
        wait: Which timeout expired: "connect", "request", "queue", "idle" or "job".
        seconds: Length of that timeout, in seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        wait: str,
        seconds: float,
        hint: str | None = None,
        backend: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint, backend=backend, retryable=retryable)
        self.wait = wait
        self.seconds = seconds


class BackendOverloaded(BackendUnavailable):
    """The backend is running but accepts no more work for now (HTTP 429, 503)."""


class NodePackMissing(BackendUnavailable):
    """ComfyUI is running without the required nodes; an administrator must install them."""

    is_retryable = False


class GenerationFailed(TTSError):
    """The backend accepted the job and failed.

    Args:
        node_type: ComfyUI class of the node that failed, such as "FB_Qwen3TTSCustomVoice".
        node_id: Id of that node in the graph.
        exception_type: Name of the exception on the backend's side.
    """

    def __init__(
        self,
        message: str,
        *,
        node_type: str | None = None,
        node_id: str | None = None,
        exception_type: str | None = None,
        hint: str | None = None,
        backend: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint, backend=backend, retryable=retryable)
        self.node_type = node_type
        self.node_id = node_id
        self.exception_type = exception_type


class OutOfMemory(GenerationFailed):
    """The backend's device had too little memory for this job."""


class RunawayGeneration(GenerationFailed):
    """The model produced no end token: the audio reached the token budget and was discarded.

    Args:
        partial_duration: Seconds of audio generated before the budget was used up.
    """

    is_retryable = True  # with another seed; affects about one generation in 200

    def __init__(
        self,
        message: str,
        *,
        partial_duration: float,
        hint: str | None = None,
        backend: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint, backend=backend, retryable=retryable)
        self.partial_duration = partial_duration


class SilentAudio(GenerationFailed):
    """The backend reported success but returned silence."""

    is_retryable = True


class JobLost(GenerationFailed):
    """The backend no longer knows the job: it was restarted, or its queue was cleared."""

    is_retryable = True


class StorageFailed(TTSError):
    """A local file or folder cannot be read or written, or its contents are damaged."""


class MarkingFailed(TTSError):
    """A sound file cannot be marked as synthetic speech: no signature or no watermark."""


class AuthenticationFailed(TTSError):
    """The backend rejected the credentials (HTTP 401 or 403)."""


class JobCancelled(TTSError):
    """The job was cancelled on the backend, by another client or an operator.

    A cancellation on the caller's side is an ``asyncio.CancelledError`` instead.
    """


_brief = Repr()
_brief.maxlevel = 3
_brief.maxstring = _brief.maxother = 200
_brief.maxlong = 60


def shown(value: object) -> str:
    """Return the repr of a value for a message, shortened if it is long or deeply nested."""
    try:
        return _brief.repr(value)
    except ValueError:  # an integer with thousands of digits
        return "a number that is too long to display"


def as_sentence(message: str) -> str:
    """Return a message with a full stop, unless it ends with one or with another mark."""
    return message if message.endswith((".", "!", "?")) else f"{message}."


def check_range(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Check that a value is a finite number in a range.

    Args:
        name: Name of the value, for error messages.
        value: The value.
        low: Minimum.
        high: Maximum.
        whole: Accept integers only.

    Raises:
        InvalidRequest: The value is not such a number; booleans are rejected, too.
    """
    wanted = "a whole number" if whole else "a number"
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InvalidRequest(f"{name} must be {wanted}, not {shown(value)}.")
    if not low <= value <= high:  # type: ignore[operator]
        raise InvalidRequest(f"{name} is {shown(value)}; it must be {wanted} from {low} to {high}.")


def _restored(kind: type[TTSError], args: tuple[object, ...], state: dict[str, object]) -> TTSError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def did_you_mean(wrong: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" with the closest allowed spelling, or "" if none is close."""
    by_folded = {name.casefold(): name for name in allowed}
    close = get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean '{by_folded[close[0]]}'?" if close else ""
