"""Events of a service, for metrics, tracing or a status line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from storycore_tts.domain.speech import Timings
from storycore_tts.errors import TTSError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """Base class of all events.

    Args:
        operation: Name of the port's method, such as "synthesize"; "" if the event does not concern
            a single request.
        backend: Name of the adapter concerned.
    """

    operation: str
    backend: str


@dataclass(frozen=True)
class RequestStarted(Event):
    """A request was received; ``backend`` is the configured one.

    One ``RequestFinished`` with the same id follows, in the same task.

    Args:
        request_id: Id of the request, unique in this process.
    """

    request_id: int


@dataclass(frozen=True)
class RequestFinished(Event):
    """A request ended; ``backend`` is the one that served it, or the configured one if none did.

    Args:
        request_id: Id from its ``RequestStarted``.
        outcome: "ok", "cancelled", or the class name of the error.
        seconds: Time from start to end, in seconds.
        error: The error, if the request failed.
        audio_seconds: Duration of the audio, in seconds; 0 if there is none.
        timings: Timings reported by the backend, if any.
        job_id: The backend's id of the job; "" if the backend has no jobs.
    """

    request_id: int
    outcome: str
    seconds: float
    error: BaseException | None = None
    audio_seconds: float = 0.0
    timings: Timings | None = None
    job_id: str = ""


@dataclass(frozen=True)
class AttemptFailed(Event):
    """An attempt on a backend failed.

    Args:
        attempt: Number of the attempt of this request on this backend, from 1.
        error: The error.
        pause: Seconds until the next attempt; None if there will be none.
    """

    attempt: int
    error: TTSError
    pause: float | None


@dataclass(frozen=True)
class FellBack(Event):
    """A request falls back from ``backend``, which is unavailable or failed.

    Args:
        to: Name of the backend that is tried next.
        error: The error of ``backend``.
    """

    to: str
    error: TTSError


@dataclass(frozen=True)
class AvailabilityChanged(Event):
    """A backend became unavailable, or available again.

    Args:
        available: Whether the backend is available.
        error: Its last error; None if it is available.
    """

    available: bool
    error: TTSError | None = None


@dataclass(frozen=True)
class Routed(Event):
    """A rollout sent a request to ``backend``.

    Args:
        share: The share of requests that goes to ComfyUI, 0..1.
    """

    share: float


@dataclass(frozen=True)
class Reloaded(Event):
    """The settings were reloaded; ``backend`` is the backend for new requests."""


Listener = Callable[[Event], None]
"""Called on the event loop where the event occurs; must not block."""


class Listeners:
    """Passes every event to each listener."""

    def __init__(self) -> None:
        self._listeners: dict[object, Listener] = {}

    def add(self, listener: Listener) -> Callable[[], None]:
        """Add a listener. One that is added twice receives each event twice.

        Args:
            listener: Called with each event; see ``Listener``.

        Returns:
            A function that removes the listener.
        """
        place = object()
        self._listeners[place] = listener

        def remove() -> None:
            self._listeners.pop(place, None)

        return remove

    def tell(self, event: Event) -> None:
        """Pass an event to all listeners; errors of listeners are logged, not raised.

        Args:
            event: The event.
        """
        for listener in tuple(self._listeners.values()):
            try:
                listener(event)
            except Exception as failure:  # noqa: BLE001 — the listener's own code, and not hidden
                # Its context is the reported error, which may contain users' text.
                failure.__suppress_context__ = True
                _log.exception("a listener failed at %s", type(event).__name__)
