"""Events of a service, for metrics, spans, or an editor's status line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from storycore_tts.domain.speech import Timings
from storycore_tts.errors import TTSError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """Something happened that is worth counting.

    Args:
        operation: The name of the port's method, such as "synthesize"; "" where no single request
            is meant.
        backend: Name of the adapter that it is about.
    """

    operation: str
    backend: str


@dataclass(frozen=True)
class RequestStarted(Event):
    """A request came in; ``backend`` is the configured one.

    One ``RequestFinished`` with the same id follows, in the same task.

    Args:
        request_id: Unique in this process.
    """

    request_id: int


@dataclass(frozen=True)
class RequestFinished(Event):
    """A request ended; ``backend`` is the one that spoke, or the configured one if none did.

    Args:
        request_id: That of its ``RequestStarted``.
        outcome: "ok", "cancelled", or the name of the error's class.
        seconds: From start to end.
        error: What it ended with, if it failed.
        audio_seconds: Length of the audio; 0 where there is none.
        timings: Where the time went, if the backend said so.
        job_id: What the backend calls the job; "" where it has no jobs.
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
    """A backend was asked and failed.

    Args:
        attempt: Which try of this request on this backend, from 1.
        error: What it said.
        pause: Seconds until the next try; None when there will be none.
    """

    attempt: int
    error: TTSError
    pause: float | None


@dataclass(frozen=True)
class FellBack(Event):
    """Another backend is tried instead of ``backend``, which is unavailable or failed.

    Args:
        to: Name of the other one.
        error: Why.
    """

    to: str
    error: TTSError


@dataclass(frozen=True)
class AvailabilityChanged(Event):
    """A backend counts as unavailable from now on, or is back.

    Args:
        available: Whether it is used again.
        error: Its last error; None when it is back.
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
    """The settings were read again; ``backend`` is the one for what is asked from now on."""


Listener = Callable[[Event], None]
"""It runs where the event happens, on an event loop, and must return at once."""


class Listeners:
    """Hands every event to each listener."""

    def __init__(self) -> None:
        self._listeners: dict[object, Listener] = {}

    def add(self, listener: Listener) -> Callable[[], None]:
        """Listen from now on; a listener that is added twice hears twice.

        Returns:
            A function that ends it.
        """
        place = object()
        self._listeners[place] = listener

        def remove() -> None:
            self._listeners.pop(place, None)

        return remove

    def tell(self, event: Event) -> None:
        """Hand an event on. A listener that fails is logged: speech does not depend on it."""
        for listener in tuple(self._listeners.values()):
            try:
                listener(event)
            except Exception as failure:  # noqa: BLE001 — the listener's own code, and not hidden
                # Its context is the error that is being told, which may quote users.
                failure.__suppress_context__ = True
                _log.exception("a listener failed at %s", type(event).__name__)
