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


def test_a_request_is_counted_and_measured_for_the_backend_that_spoke(metrics, scrape, events):
    metrics(replace(events.finished, operation="clone"))  # began before: not less than none
    assert scrape("requests_in_progress", operation="clone") is None
    metrics(events.started)
    assert scrape("requests_in_progress", operation="synthesize") == 1
    metrics(replace(events.finished, backend="draft"))
    assert scrape("requests_in_progress", operation="synthesize") == 0
    say = {"operation": "synthesize", "backend": "draft"}
    assert scrape("requests_total", **say, outcome="ok") == 1
    assert scrape("request_seconds_sum", **say) == 3.5
    assert scrape("queue_seconds_sum", backend="draft") == 0.5
    assert scrape("generation_seconds_sum", backend="draft") == 3.0
    assert scrape("audio_seconds_sum", backend="draft") == 2.0
    assert scrape("real_time_factor_sum", backend="draft") == 1.5


@pytest.mark.parametrize(
    ("name", "outcome"), [("failed", "GenerationFailed"), ("cancelled", "cancelled")]
)
def test_a_request_without_speech(metrics, scrape, events, name, outcome):
    metrics(events.started)
    metrics(getattr(events, name))
    assert scrape("requests_in_progress", operation="synthesize") == 0
    assert scrape("requests_total", **SAY, outcome=outcome) == 1
    assert scrape("request_seconds_count", **SAY) == 1
    for speech in ("queue_seconds", "generation_seconds", "audio_seconds", "real_time_factor"):
        assert scrape(f"{speech}_count", backend="comfyui") is None


def test_repeated_attempts_fallbacks_routes_reloads_and_availability(
    metrics, scrape, events, registry
):
    before = generate_latest(registry)
    metrics(Event("", "comfyui"))  # unknown: not counted
    assert generate_latest(registry) == before
    assert scrape("backend_available", backend="comfyui") is None
    tried = (events.tried, replace(events.tried, pause=0.0), events.given_up)
    for event in (*tried, events.fell_back, events.routed, events.reloaded, events.down):
        metrics(event)
    assert scrape("retries_total", **SAY, error="BackendUnavailable") == 2
    assert scrape("retries_total", **SAY, error="GenerationFailed") is None
    assert scrape("backend_available", backend="comfyui") == 0
    metrics(events.back)
    assert scrape("backend_available", backend="comfyui") == 1
    assert scrape("reloads_total") == 1
    assert scrape("fallbacks_total", **SAY, to="draft") == 1
    assert scrape("routed_requests_total", **SAY) == 1


def test_the_buckets_reach_from_a_word_to_a_chapter(metrics, scrape, events):
    for seconds in (0.05, 45.0, 600.0):
        metrics(replace(events.finished, seconds=seconds))
    for bucket, inside in (("0.1", 1), ("30.0", 1), ("60.0", 2), ("600.0", 3)):
        assert scrape("request_seconds_bucket", **SAY, le=bucket) == inside


def test_two_on_one_registry_add_up_and_the_default_one_is_the_clients(
    metrics, registry, scrape, events
):
    for listener in (metrics, PrometheusMetrics(registry)):
        listener(events.started)
        listener(events.finished)
    assert scrape("requests_total", **SAY, outcome="ok") == 2
    assert scrape("requests_in_progress", operation="synthesize") == 0
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
