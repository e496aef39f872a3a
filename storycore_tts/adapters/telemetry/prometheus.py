"""Exports events as Prometheus metrics. Requires the extra ``storycore-tts[metrics]``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

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

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# From a cached word to a chapter; longer durations, such as training, only count in the sum.
_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_PACE = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class PrometheusMetrics:
    """Counts and measures requests. All metric names start with ``storycore_tts_``.

    Several instances may share a registry: they add to the same metrics.

    Args:
        registry: The registry; None: prometheus-client's default registry.

    Raises:
        ImportError: prometheus-client is not installed.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        try:
            from prometheus_client import REGISTRY
        except ImportError as error:
            raise ImportError(
                "PrometheusMetrics needs prometheus-client: pip install 'storycore-tts[metrics]'"
            ) from error
        self._metrics = _metrics_on(REGISTRY if registry is None else registry)
        self._running: set[int] = set()

    def __call__(self, event: Event) -> None:
        """Update the metrics from an event."""
        match event:
            case RequestStarted():
                self._started(event)
            case RequestFinished():
                self._finished(event)
            case AttemptFailed(pause=pause) if pause is not None:
                error = type(event.error).__name__
                self._metrics.retries.labels(event.operation, event.backend, error).inc()
            case FellBack():
                self._metrics.fallbacks.labels(event.operation, event.backend, event.to).inc()
            case AvailabilityChanged():
                self._metrics.available.labels(event.backend).set(event.available)
            case Routed():
                self._metrics.routed.labels(event.operation, event.backend).inc()
            case Reloaded():
                self._metrics.reloads.inc()

    def _started(self, event: RequestStarted) -> None:
        self._running.add(event.request_id)
        self._metrics.in_progress.labels(event.operation).inc()

    def _finished(self, event: RequestFinished) -> None:
        # Requests that began before this listener was added were never counted as running.
        if event.request_id in self._running:
            self._running.remove(event.request_id)
            self._metrics.in_progress.labels(event.operation).dec()
        self._metrics.requests.labels(event.operation, event.backend, event.outcome).inc()
        self._metrics.request_seconds.labels(event.operation, event.backend).observe(event.seconds)
        self._measure_speech(event)

    def _measure_speech(self, event: RequestFinished) -> None:
        metrics, backend = self._metrics, event.backend
        audio, timings = event.audio_seconds, event.timings
        if audio:
            metrics.audio_seconds.labels(backend).observe(audio)
        if timings:
            metrics.queue_seconds.labels(backend).observe(timings.queued)
            metrics.generation_seconds.labels(backend).observe(timings.generating)
        if audio and timings:
            metrics.real_time_factor.labels(backend).observe(timings.generating / audio)


class _Metrics:
    """The metrics of one registry. Keeps no reference to it, so it can be garbage-collected."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count(registry)
        self._measure(registry)

    def _count(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge

        counter = partial(Counter, namespace="storycore_tts", registry=registry)
        gauge = partial(Gauge, namespace="storycore_tts", registry=registry)
        where, what = ("backend",), ("operation", "backend")

        self.requests = counter("requests", "Requests that ended.", (*what, "outcome"))
        self.in_progress = gauge(
            "requests_in_progress",
            "Requests in progress.",
            ("operation",),
            multiprocess_mode="livesum",
        )
        self.retries = counter("retries", "Failed attempts that were retried.", (*what, "error"))
        self.fallbacks = counter(
            "fallbacks", "Requests that fell back to another backend.", (*what, "to")
        )
        self.available = gauge(
            "backend_available",
            "1 if the backend is available, 0 if it is unavailable.",
            where,
            multiprocess_mode="livemin",
        )
        self.routed = counter("routed_requests", "Requests that a rollout sent to a backend.", what)
        self.reloads = counter("reloads", "Reloads of the settings.")

    def _measure(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Histogram

        histogram = partial(
            Histogram, namespace="storycore_tts", registry=registry, buckets=_SECONDS
        )
        where, what = ("backend",), ("operation", "backend")
        self.request_seconds = histogram(
            "request_seconds", "Time from start to end, whatever the outcome.", what
        )
        self.queue_seconds = histogram("queue_seconds", "Time in the queue.", where)
        self.generation_seconds = histogram(
            "generation_seconds", "Time spent generating on the backend.", where
        )
        self.audio_seconds = histogram("audio_seconds", "Duration of the audio.", where)
        self.real_time_factor = histogram(
            "real_time_factor", "Generating seconds per second of audio.", where, buckets=_PACE
        )


# A name can be registered only once, and tests create many registries.
_known: WeakKeyDictionary[CollectorRegistry, _Metrics] = WeakKeyDictionary()


def _metrics_on(registry: CollectorRegistry) -> _Metrics:
    if registry not in _known:
        _known[registry] = _Metrics(registry)
    return _known[registry]
