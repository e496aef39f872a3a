from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from storycore_tts import Event, PrometheusMetrics

SAY = {"operation": "synthesize", "backend": "comfyui"}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return PrometheusMetrics(registry)


@pytest.fixture
def scrape(registry):
    """Reads one value as Prometheus would; None where there is no such series."""

    def value(name: str, **labels: str) -> float | None:
        text = generate_latest(registry).decode()
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"storycore_tts_{name}" and sample.labels == labels
        ]
        assert len(found) < 2
        return found[0] if found else None

    return value


def test_a_request_is_counted_and_measured(metrics, scrape, events):
    metrics(events.started)
    assert scrape("requests_in_progress", operation="synthesize") == 1
    metrics(events.finished)
    assert scrape("requests_in_progress", operation="synthesize") == 0
    assert scrape("requests_total", **SAY, outcome="ok") == 1
    assert scrape("request_seconds_sum", **SAY) == 3.5
    assert scrape("queue_seconds_sum", backend="comfyui") == 0.5
    assert scrape("generation_seconds_sum", backend="comfyui") == 3.0
    assert scrape("audio_seconds_sum", backend="comfyui") == 2.0
    assert scrape("real_time_factor_sum", backend="comfyui") == 1.5


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("failed", "GenerationFailed"),
        ("refused", "BackendUnavailable"),
        ("cancelled", "cancelled"),
    ],
)
def test_a_request_without_speech(metrics, scrape, events, name, outcome):
    metrics(events.started)
    metrics(getattr(events, name))
    assert scrape("requests_in_progress", operation="synthesize") == 0
    assert scrape("requests_total", **SAY, outcome=outcome) == 1
    assert scrape("request_seconds_count", **SAY) == 1
    for speech in ("queue_seconds", "generation_seconds", "audio_seconds", "real_time_factor"):
        assert scrape(f"{speech}_count", backend="comfyui") is None


def test_a_request_that_fell_back_counts_for_the_one_that_spoke(metrics, scrape, events):
    metrics(events.started)
    metrics(replace(events.finished, backend="draft"))
    assert scrape("requests_in_progress", operation="synthesize") == 0
    assert scrape("requests_total", operation="synthesize", backend="draft", outcome="ok") == 1


def test_a_request_that_began_before_does_not_make_less_than_none(metrics, scrape, events):
    metrics(events.finished)
    assert scrape("requests_in_progress", operation="synthesize") is None
    assert scrape("requests_total", **SAY, outcome="ok") == 1


def test_only_attempts_that_are_repeated_are_retries(metrics, scrape, events):
    metrics(events.tried)
    metrics(replace(events.tried, pause=0.0))
    metrics(events.given_up)
    assert scrape("retries_total", **SAY, error="BackendUnavailable") == 2
    assert scrape("retries_total", **SAY, error="GenerationFailed") is None


def test_fallbacks_routes_reloads_and_availability(metrics, scrape, events):
    assert scrape("backend_available", backend="comfyui") is None
    for event in (events.fell_back, events.routed, events.reloaded, events.down):
        metrics(event)
    assert scrape("backend_available", backend="comfyui") == 0
    metrics(events.back)
    assert scrape("backend_available", backend="comfyui") == 1
    assert scrape("reloads_total") == 1
    assert scrape("fallbacks_total", **SAY, to="draft") == 1
    assert scrape("routed_requests_total", **SAY) == 1


def test_an_unknown_event_is_not_counted(metrics, registry):
    before = generate_latest(registry)
    metrics(Event("", "comfyui"))
    assert generate_latest(registry) == before


@pytest.mark.parametrize(
    ("seconds", "bucket", "inside"),
    [(0.05, "0.1", 1), (45.0, "30.0", 0), (45.0, "60.0", 1), (600.0, "600.0", 1)],
)
def test_the_buckets_reach_from_a_word_to_a_chapter(
    metrics, scrape, events, seconds, bucket, inside
):
    metrics(replace(events.finished, seconds=seconds))
    assert scrape("request_seconds_bucket", **SAY, le=bucket) == inside


def test_two_on_one_registry_add_up(metrics, registry, scrape, events):
    second = PrometheusMetrics(registry)
    for listener in (metrics, second):
        listener(events.started)
        listener(events.finished)
    assert scrape("requests_total", **SAY, outcome="ok") == 2
    assert scrape("requests_in_progress", operation="synthesize") == 0


def test_the_default_registry_is_that_of_the_client(events):
    first, second = PrometheusMetrics(), PrometheusMetrics()
    before = REGISTRY.get_sample_value("storycore_tts_reloads_total")
    first(events.reloaded)
    second(events.reloaded)
    assert REGISTRY.get_sample_value("storycore_tts_reloads_total") == before + 2


def test_a_registry_that_nobody_uses_is_forgotten(events):
    registry = CollectorRegistry()
    PrometheusMetrics(registry)(events.finished)
    gone = weakref.ref(registry)
    del registry
    gc.collect()
    assert gone() is None
