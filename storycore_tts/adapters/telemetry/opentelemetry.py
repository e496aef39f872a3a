"""Events as OpenTelemetry spans. Needs the extra ``storycore-tts[tracing]``, and an SDK.

The SDK and its exporter are the application's choice; without one, nothing is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storycore_tts.__about__ import __version__
from storycore_tts.domain.events import (
    AttemptFailed,
    Event,
    FellBack,
    RequestFinished,
    RequestStarted,
    Routed,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

_NO_FAILURES = ("ok", "cancelled")


# In a context, the request whose span is current there.
_REQUEST = "storycore_tts.request"


@dataclass
class _Request:
    """A span, and the context that it was started in."""

    span: Span
    before: Context
    ended: bool = False


class OpenTelemetrySpans:
    """Makes a span ``tts.<operation>`` of each request, as a child of the caller's span.

    It is current until the request ends, so that spans of HTTP calls stand below it. Failures
    carry the error's class and nothing of its message, which may quote users.

    Args:
        tracer_provider: Where spans go; None is the global provider.

    Raises:
        ImportError: opentelemetry-api is not installed.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise ImportError(
                "OpenTelemetrySpans needs opentelemetry-api: pip install 'storycore-tts[tracing]'"
            ) from error
        self._tracer = trace.get_tracer("storycore_tts", __version__, tracer_provider)
        self._running: dict[int, _Request] = {}

    def __call__(self, event: Event) -> None:
        """Start, end or annotate a span."""
        match event:
            case RequestStarted():
                self._start(event)
            case RequestFinished():
                self._finish(event)
            case AttemptFailed() | FellBack() | Routed():
                _note(event)

    def _start(self, event: RequestStarted) -> None:
        from opentelemetry import context, trace

        before = _open_context()
        span = self._tracer.start_span(
            f"tts.{event.operation}", before, attributes={"tts.backend": event.backend}
        )
        request = self._running[event.request_id] = _Request(span, before)
        within = context.set_value(_REQUEST, request, before)
        context.attach(trace.set_span_in_context(span, within))

    def _finish(self, event: RequestFinished) -> None:
        from opentelemetry import context
        from opentelemetry.trace import StatusCode

        request = self._running.pop(event.request_id, None)
        if request is None:  # it began before we listened
            return
        request.span.set_attributes(_attributes(event))
        if event.outcome not in _NO_FAILURES:
            request.span.set_status(StatusCode.ERROR, event.outcome)
        request.span.end()
        request.ended = True
        # Not by detaching a token: a stream may be closed in another task, where that is an error.
        context.attach(_open_context())


def _open_context() -> Context:
    """Return the current context, or the one around it while it belongs to an ended request.

    Streams of one task end in any order, and one that is closed in another task stays behind here.
    """
    from opentelemetry import context, trace

    found = context.get_current()
    while (
        isinstance(request := found.get(_REQUEST), _Request)
        and request.ended
        and trace.get_current_span(found) is request.span
    ):
        found = request.before
    return found


def _attributes(event: RequestFinished) -> dict[str, str | float]:
    facts: dict[str, str | float] = {"tts.backend": event.backend, "tts.outcome": event.outcome}
    if event.audio_seconds:
        facts["tts.audio_seconds"] = event.audio_seconds
    if event.timings:
        facts["tts.queue_seconds"] = event.timings.queued
        facts["tts.generation_seconds"] = event.timings.generating
    if event.job_id:
        facts["tts.job_id"] = event.job_id
    return facts


def _note(event: AttemptFailed | FellBack | Routed) -> None:
    """Add an event to the current span: the request's, since it is told in the same task."""
    from opentelemetry import trace

    name, facts = _noted(event)
    trace.get_current_span().add_event(name, {"tts.backend": event.backend, **facts})


def _noted(event: AttemptFailed | FellBack | Routed) -> tuple[str, dict[str, str | float]]:
    match event:
        case Routed():
            return "request.routed", {"tts.share": event.share}
        case FellBack():
            error = type(event.error).__name__
            return "backend.fallback", {"tts.to": event.to, "tts.error": error}
        case AttemptFailed():
            facts: dict[str, str | float] = {
                "tts.attempt": event.attempt,
                "tts.error": type(event.error).__name__,
            }
            if event.pause is not None:
                facts["tts.pause_seconds"] = event.pause
            return "attempt.failed", facts
