"""What all tests share."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import random
import re
import shutil
import tempfile
from pathlib import Path

import certifi
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, settings

from .postgres import postgres_databases, postgres_url  # noqa: F401 - fixtures
from .small_engine import committed_engine, small_engine  # noqa: F401 - fixtures
from .tiny import (  # noqa: F401 - fixtures
    endless_tiny_models,
    endless_tiny_places,
    tiny_models,
    tiny_places,
    tiny_torch,
)
from .virtual_clock import VirtualClockLoop

FAULT_SEED = "STORYCORE_TTS_FAULT_SEED"

# A setting of the person who runs the tests is no setting of a test.
for name in [n for n in os.environ if re.match("STORYCORE_TTS_(?!LIVE_|FAULT_|TEST_)", n)]:
    del os.environ[name]

# Nor are that person's own voices: the default library lies in the user's data folder.
OURS = Path(tempfile.gettempdir()) / f"storycore-tts-tests-{os.getpid()}"
os.environ["XDG_DATA_HOME"] = str(OURS)
atexit.register(shutil.rmtree, OURS, ignore_errors=True)

# httpx reads all certificates of the world for every client, 40 ms each time, and no test calls a
# server that has one of them. One certificate is enough, in child processes too.
if "SSL_CERT_FILE" not in os.environ:
    OURS.mkdir(exist_ok=True)
    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERT")
    os.environ["SSL_CERT_FILE"] = str(OURS / "certificate.pem")
    Path(os.environ["SSL_CERT_FILE"]).write_text(f"{first}{end}IFICATE-----\n", encoding="utf-8")

# Busy machines are slow now and then: neither a slow example nor slow drawing is a failure.
# `make soak` looks at many more examples; the gate at few on the oldest and the newest Python.
for profile, examples in (("few", 5), ("short", 25), ("long", 1000)):
    settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
settings.load_profile("short")

# What the random schedules of faults begin with; set it to see the same ones again.
os.environ.setdefault(FAULT_SEED, str(random.randrange(2**32)))


def pytest_asyncio_loop_factories(item):
    """Give each test its event loop: one with a virtual clock where the test is marked so."""
    if item.get_closest_marker("virtual_clock"):
        return {"virtual": VirtualClockLoop}
    return {"real": asyncio.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: files run side by side, and one that begins last ends last."""
    items.sort(key=lambda item: "faults" not in item.path.parts)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect no garbage while tests are collected, and keep what is there out of it from now on.

    It saves a quarter of the time; and a test that collects garbage does not look at all others.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def garbage_of_the_file():
    """Collect garbage at the end of each file: a connection left open is reported there.

    Otherwise it would be reported in whichever later test the collector happens to run.
    """
    yield
    gc.collect()


def pytest_report_header() -> str:
    return f"{FAULT_SEED}={os.environ[FAULT_SEED]}"


@pytest.fixture
def recording(tmp_path):
    """Four seconds of a tone in a file."""
    time = np.arange(96_000) / 24_000
    file = tmp_path / "recording.wav"
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * 220 * time), 24_000)
    return file
