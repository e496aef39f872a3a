"""Every error that this package raises on purpose, and what each one asks of you.

::

    TTSError
    ├── InvalidRequest          your input; found before any GPU work; never retried, no fallback
    │   ├── UnknownSpeaker
    │   ├── UnsupportedLanguage
    │   ├── UnsupportedByBackend
    │   ├── InvalidReferenceAudio
    │   │   ├── RecordingTooLarge
    │   │   └── UnsupportedRecording
    │   └── InvalidDataset
    ├── ConfigurationError      a key in a file or in the environment
    ├── BackendUnavailable      refused, unreachable, something is not installed: retry or fall back
    │   ├── BackendTimeout
    │   ├── BackendOverloaded
    │   └── NodePackMissing
    ├── GenerationFailed        the backend tried and failed
    │   ├── OutOfMemory
    │   ├── RunawayGeneration
    │   ├── SilentAudio
    │   └── JobLost
    ├── StorageFailed           a disk of this machine: it refuses, or what lies there is damaged
    ├── AuthenticationFailed
    └── JobCancelled

An error says what went wrong, on which side, and, in ``hint``, what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import ClassVar


class TTSError(Exception):
    """The root: catch it to catch everything that this package raises on purpose.

    Args:
        message: What went wrong, and on which side.
        hint: What to do next; None when there is nothing to advise.
        backend: Name of the adapter that raised it ("comfyui", "draft", …), if one did.
        retryable: Whether the same call may succeed later; None takes the class's own answer.
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
        ended = self.message.endswith((".", "!", "?"))
        return f"{self.message}{'' if ended else '.'} {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error cross to another process: exceptions only keep positional arguments."""
        return _restored, (type(self), self.args, self.__dict__)


class InvalidRequest(TTSError):
    """What was asked for cannot be done by anyone; nothing was started."""


class UnknownSpeaker(InvalidRequest):
    """No voice of that name; the message lists the ones there are."""


class UnsupportedLanguage(InvalidRequest):
    """A language that the model, or this node, does not speak."""


class UnsupportedByBackend(InvalidRequest):
    """The chosen backend has no such port; ask ``capabilities`` before you call."""


class InvalidReferenceAudio(InvalidRequest):
    """The reference recording cannot be decoded, or holds nothing to clone."""


class RecordingTooLarge(InvalidReferenceAudio):
    """The recording's file has more bytes than are taken."""


class UnsupportedRecording(InvalidReferenceAudio):
    """The recording's file is of none of the kinds that are taken."""


class InvalidDataset(InvalidRequest):
    """The training folder cannot be trained on."""


class ConfigurationError(TTSError, ValueError):
    """A setting was refused before anything started.

    Args:
        source: The file, or the environment variable, that holds the setting.
        line: Its line in the file, from 1.
        key: Its dotted path, such as ``tts.qwen.generation.top_p``.
        value: What was found there.
        allowed: What would be accepted, in words.
        unknown_key: The key itself is the mistake: there is none of that name.
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
    """The backend could not be asked; another one may be, and this one later.

    Args:
        retry_after: Seconds that the backend itself asked us to wait, if it did.
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
    """A wait ended before its answer came.

    Args:
        wait: Which wait: "connect", "request", "queue", "idle" or "job".
        seconds: How long it was, in seconds.
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
    """The backend is up and refuses more work for now (HTTP 429, 503)."""


class NodePackMissing(BackendUnavailable):
    """ComfyUI runs, but without the nodes that speak: an administrator must install them."""

    is_retryable = False


class GenerationFailed(TTSError):
    """The backend took the job and failed at it.

    Args:
        node_type: ComfyUI class of the node that failed, such as "FB_Qwen3TTSCustomVoice".
        node_id: Its id in the graph.
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
    """The model never said "end": the audio ran into the token budget and is not speech to keep.

    Args:
        partial_duration: Seconds of audio made before the budget ended.
    """

    is_retryable = True  # with another seed: about one generation in two hundred does this

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
    """The backend reported success and delivered silence."""

    is_retryable = True


class JobLost(GenerationFailed):
    """The backend no longer knows the job: it restarted, or somebody cleared its queue."""

    is_retryable = True


class StorageFailed(TTSError):
    """A folder on this machine cannot be read or written, or what lies in it is damaged."""


class AuthenticationFailed(TTSError):
    """The backend refused our credentials (HTTP 401 or 403)."""


class JobCancelled(TTSError):
    """Somebody else stopped the job on the backend.

    Cancelling on our side is asyncio's own ``CancelledError``; this is the other case.
    """


_brief = Repr()
_brief.maxlevel = 3
_brief.maxstring = _brief.maxother = 200
_brief.maxlong = 60


def shown(value: object) -> str:
    """Return a value as a message shows it: its repr, cut short however deep or long it is."""
    try:
        return _brief.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number that is too long to show"


def check_range(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse a value that is no finite number from low to high.

    Raises:
        InvalidRequest: It is none; booleans are none either.
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
    """Return " Did you mean 'x'?" for the closest allowed spelling, or "" when none is close."""
    by_folded = {name.casefold(): name for name in allowed}
    close = get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean '{by_folded[close[0]]}'?" if close else ""
