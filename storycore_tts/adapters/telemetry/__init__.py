"""Listeners: the events of a service as log lines, as Prometheus metrics and as spans.

Each one goes to ``add_listener``. The packages that they write to are imported when one is made.
"""

from __future__ import annotations

from storycore_tts.adapters.telemetry.logs import EventLog
from storycore_tts.adapters.telemetry.opentelemetry import OpenTelemetrySpans
from storycore_tts.adapters.telemetry.prometheus import PrometheusMetrics

__all__ = ["EventLog", "OpenTelemetrySpans", "PrometheusMetrics"]
