"""Without its package a listener says what to install; the others work."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules[{package!r}] = None
import storycore_tts
storycore_tts.EventLog()(storycore_tts.Reloaded("", "draft"))
try:
    storycore_tts.{listener}()
except ImportError as error:
    print(error)
"""


def printed(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("listener", "package", "extra"),
    [
        ("PrometheusMetrics", "prometheus_client", "metrics"),
        ("OpenTelemetrySpans", "opentelemetry", "tracing"),
    ],
)
def test_the_error_says_what_to_install(listener, package, extra):
    said = printed(PROGRAM.format(listener=listener, package=package))
    assert f"pip install 'storycore-tts[{extra}]'" in said


def test_their_packages_load_when_a_listener_is_made():
    loaded = printed(
        "import sys, storycore_tts\n"
        "names = ('prometheus_client', 'opentelemetry')\n"
        "storycore_tts.PrometheusMetrics, storycore_tts.OpenTelemetrySpans\n"
        "print([name in sys.modules for name in names])\n"
        "storycore_tts.PrometheusMetrics(), storycore_tts.OpenTelemetrySpans()\n"
        "print([name in sys.modules for name in names])\n"
    )
    assert loaded.splitlines() == ["[False, False]", "[True, True]"]
