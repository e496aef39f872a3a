"""Records events as OpenTelemetry spans. Requires the extra ``storycore-tts[tracing]`` and an SDK.

The application chooses the SDK and its exporter; without an SDK, nothing is recorded.
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


# Context key of the request whose span is current.
_REQUEST = "storycore_tts.request"


@dataclass
class _Request:
    """A span, and the context in which it was started."""

    span: Span
    before: Context
    ended: bool = False


class OpenTelemetrySpans:
    """Records a span ``tts.<operation>`` for each request, as a child of the caller's span.

    The span is current until the request ends, so that spans of HTTP requests become its children.
    For failures, the class of the error is recorded, but not its message, which may quote users'
    text.

    Args:
        tracer_provider: The tracer provider; None: the global one.

    Raises:
        ImportError: opentelemetry-api is not installed.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise ImportError(
                "OpenTelemetrySpans requires opentelemetry-api: "
                "pip install 'storycore-tts[tracing]'"
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
        if request is None:  # it started before this listener was added
            return
        request.span.set_attributes(_attributes(event))
        if event.outcome not in _NO_FAILURES:
            request.span.set_status(StatusCode.ERROR, event.outcome)
        request.span.end()
        request.ended = True
        # No token is detached: a stream may be closed in another task, where that would fail.
        context.attach(_open_context())


def _open_context() -> Context:
    """Return the current context, or its closest ancestor that belongs to no ended request.

    Streams of a task end in any order, and streams closed in another task leave their context here.
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
    """Add an event to the current span, which is that of the request, in the same task."""
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
