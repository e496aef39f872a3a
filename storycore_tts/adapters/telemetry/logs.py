"""Writes events as log lines, without users' text."""

from __future__ import annotations

import logging
from logging import DEBUG, INFO, WARNING

from storycore_tts.domain.events import (
    AttemptFailed,
    AvailabilityChanged,
    Event,
    FellBack,
    Reloaded,
    RequestFinished,
    RequestStarted,
    Routed,
)
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import BackendUnavailable


class EventLog:
    """Writes one line for each event.

    From INFO up, errors are logged by class; only ``BackendUnavailable`` is logged with its
    message, which contains URLs and packages. Messages of other errors may quote users' text and
    are logged separately at DEBUG.

    Args:
        logger: The logger; None: "storycore_tts.events".
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("storycore_tts.events")

    def __call__(self, event: Event) -> None:
        """Log an event."""
        match event:
            case RequestStarted():
                self._write(DEBUG, "request.started", event, request=event.request_id)
            case RequestFinished():
                self._write(INFO, "request.finished", event, **_outcome(event))
            case AttemptFailed():
                self._attempt_failed(event)
            case FellBack():
                facts = _error_fields(event.error)
                self._write(WARNING, "backend.fallback", event, to=event.to, **facts)
            case AvailabilityChanged(available=True):
                self._write(INFO, "backend.available", event)
            case AvailabilityChanged():
                self._write(WARNING, "backend.unavailable", event, **_error_fields(event.error))
            case Routed():
                self._write(DEBUG, "request.routed", event, share=event.share)
            case Reloaded():
                self._write(INFO, "settings.reloaded", event)
        self._quote_error(event)

    def _attempt_failed(self, event: AttemptFailed) -> None:
        level = INFO if event.pause is None else WARNING
        facts = _error_fields(event.error)
        self._write(
            level, "attempt.failed", event, attempt=event.attempt, pause=event.pause, **facts
        )

    def _quote_error(self, event: Event) -> None:
        error: BaseException | None = getattr(event, "error", None)
        if error is not None and not isinstance(error, BackendUnavailable):
            kind = type(error).__name__
            self._write(DEBUG, "error.message", event, error=kind, message=str(error))

    def _write(self, level: int, name: str, event: Event, **facts: object) -> None:
        about = {"operation": event.operation or None, "backend": event.backend or None}
        log_event(self._logger, level, name, **about, **facts)


def _outcome(event: RequestFinished) -> dict[str, object]:
    return {
        "request": event.request_id,
        "outcome": event.outcome,
        "seconds": event.seconds,
        "audio_seconds": event.audio_seconds or None,
        "job": event.job_id or None,
        "reason": _reason(event.error),
    }


def _error_fields(error: BaseException | None) -> dict[str, object]:
    return {"error": type(error).__name__, "reason": _reason(error)} if error else {}


def _reason(error: BaseException | None) -> str | None:
    return error.message if isinstance(error, BackendUnavailable) else None
