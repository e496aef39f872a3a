from __future__ import annotations

import asyncio
import contextvars
import logging
from dataclasses import replace

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from storycore_tts import Event, OpenTelemetrySpans, __version__


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


def provided(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def provider(exporter):
    provider = provided(exporter)
    yield provider
    provider.shutdown()


@pytest.fixture
def tracer(provider):
    """That of an application."""
    return provider.get_tracer("application")


@pytest.fixture
def spans(provider):
    return OpenTelemetrySpans(provider)


@pytest.fixture
def ended(exporter):
    """Returns the spans of requests that have ended, in order."""
    return lambda: [s for s in exporter.get_finished_spans() if s.name.startswith("tts.")]


def current() -> trace.SpanContext:
    return trace.get_current_span().get_span_context()


def test_a_request_is_a_span(spans, ended, events):
    spans(events.started)
    spans(events.finished)
    (span,) = ended()
    assert span.name == "tts.synthesize"
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "tts.backend": "comfyui",
        "tts.outcome": "ok",
        "tts.audio_seconds": 2.0,
        "tts.queue_seconds": 0.5,
        "tts.generation_seconds": 3.0,
        "tts.job_id": "4f2a",
    }
    assert span.instrumentation_scope.name == "storycore_tts"
    assert span.instrumentation_scope.version == __version__


def test_it_stands_below_the_callers_span_and_above_what_the_request_does(
    spans, ended, events, tracer, exporter
):
    with tracer.start_as_current_span("chapter") as chapter:
        before = context.attach(baggage.set_baggage("book", "1"))
        spans(events.started)
        assert baggage.get_baggage("book") == "1"
        with tracer.start_as_current_span("POST /prompt"):
            pass
        spans(replace(events.finished, backend="draft"))
        assert trace.get_current_span() is chapter
        assert baggage.get_baggage("book") == "1"
        context.detach(before)
    (span,) = ended()
    assert span.attributes["tts.backend"] == "draft"
    assert span.parent == chapter.get_span_context()
    assert exporter.get_finished_spans()[0].parent == span.context
    assert not current().is_valid


@pytest.mark.parametrize("name", ["failed", "refused"])
def test_a_failure_is_its_class_without_its_words_and_a_cancellation_is_none(
    spans, ended, events, name
):
    event = getattr(events, name)
    for one in (events.started, event, events.started, events.cancelled):
        spans(one)
    failed, cancelled = ended()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == event.outcome == failed.attributes["tts.outcome"]
    assert str(event.error) not in failed.to_json()
    assert event.error.message not in failed.to_json()
    assert cancelled.status.status_code is StatusCode.UNSET
    assert dict(cancelled.attributes) == {"tts.backend": "comfyui", "tts.outcome": "cancelled"}


def test_what_happens_on_the_way_is_noted_on_it(spans, ended, events):
    for event in (events.routed, events.down, events.tried, events.given_up, events.fell_back):
        spans(event)  # nobody's: there is no span yet
    spans(events.started)
    for event in (events.routed, events.tried, events.given_up, events.fell_back, events.down):
        spans(event)
    spans(events.finished)
    (span,) = ended()
    down, failed = {"tts.error": "BackendUnavailable"}, {"tts.error": "GenerationFailed"}
    told = [(event.name, dict(event.attributes)) for event in span.events]
    assert all(attributes.pop("tts.backend") == "comfyui" for _, attributes in told)
    assert told == [
        ("request.routed", {"tts.share": 0.25}),
        ("attempt.failed", {"tts.attempt": 1, "tts.pause_seconds": 0.25, **down}),
        ("attempt.failed", {"tts.attempt": 3, **failed}),
        ("backend.fallback", {"tts.to": "draft", **down}),
    ]


def test_other_events_are_no_spans(spans, exporter, events):
    for event in (events.reloaded, events.back, Event("", "comfyui"), events.finished):
        spans(event)
    assert exporter.get_finished_spans() == ()


async def test_requests_of_several_tasks_have_their_own_parents(spans, ended, events, tracer):
    async def request(number: int) -> trace.SpanContext:
        with tracer.start_as_current_span(f"chapter {number}") as chapter:
            spans(replace(events.started, request_id=number))
            await asyncio.sleep(0)  # now all have started
            spans(replace(events.tried, attempt=number))
            await asyncio.sleep(0)
            spans(replace(events.finished, request_id=number, job_id=str(number)))
            assert trace.get_current_span() is chapter
            return chapter.get_span_context()

    parents = await asyncio.gather(*(request(number) for number in range(5)))
    for span in ended():
        number = int(span.attributes["tts.job_id"])
        assert span.parent == parents[number]
        assert [event.attributes["tts.attempt"] for event in span.events] == [number]
    assert len(ended()) == 5


def quiet(caplog) -> bool:
    return not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_stream_may_be_closed_in_another_task(spans, ended, events, caplog):
    async def stream():
        spans(events.started)
        try:
            yield 1
            yield 2
        finally:
            spans(events.cancelled)

    chunks = stream()
    await chunks.__anext__()
    within = current()
    await asyncio.create_task(chunks.aclose())
    assert [span.context for span in ended()] == [within]
    assert quiet(caplog)

    spans(replace(events.started, request_id=8))
    spans(replace(events.finished, request_id=8))
    assert ended()[1].parent is None  # and not the span that ended elsewhere
    assert not current().is_valid


def test_a_context_that_knows_nothing_of_the_request_stays_as_it_is(
    spans, ended, events, tracer, caplog
):
    def around_the_end() -> None:
        with tracer.start_as_current_span("reading") as reading:
            spans(events.finished)
            assert trace.get_current_span() is reading

    stranger = contextvars.copy_context()
    contextvars.copy_context().run(spans, events.started)
    stranger.run(around_the_end)
    spans(events.started)
    around_the_end()  # nor does a span of the caller's own
    spans(replace(events.started, request_id=8))
    spans(replace(events.finished, request_id=8))
    assert [span.parent for span in ended()] == [None, None, None]
    assert quiet(caplog)


def test_streams_of_one_task_may_end_in_any_order(spans, ended, events, tracer):
    with tracer.start_as_current_span("chapter") as chapter:
        for number in (1, 2, 3):
            spans(replace(events.started, request_id=number))
        last = current()
        for number in (2, 1):
            spans(replace(events.finished, request_id=number))
            assert current() == last
        spans(replace(events.finished, request_id=3))
        assert trace.get_current_span() is chapter
    assert len(ended()) == 3


def test_two_providers_each_get_their_span(spans, ended, events):
    other = InMemorySpanExporter()
    provider = provided(other)
    second = OpenTelemetrySpans(provider)
    for event in (events.started, events.finished):
        spans(event)
        second(event)
    assert len(ended()) == len(other.get_finished_spans()) == 1
    assert not current().is_valid
    provider.shutdown()


def test_without_an_sdk_nothing_happens(events, caplog):
    silent = OpenTelemetrySpans(trace.NoOpTracerProvider())
    for event in (events.started, events.tried, events.finished):
        silent(event)
    assert not current().is_valid
    assert quiet(caplog)
