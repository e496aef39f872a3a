"""The router in an app that several processes serve."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi")
from .host import PREFIX, TOKEN

ROOT = Path(__file__).parents[2]
SPEAK, JOBS = f"{PREFIX}/ai/tts", f"{PREFIX}/ai/tts/qwen/jobs"
LINE = {"text": "Bonjour, ceci est un test."}
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def engine(settings, tmp_path):
    """Two workers of one app; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = settings(server={"state_dir": str(tmp_path / "state")})
    command = [sys.executable, "-m", "uvicorn", "tests.storycore.host:app", "--workers", "2"]
    environ = {**os.environ, "HOST_SETTINGS": str(file), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--port", str(port), "--no-access-log"],
        cwd=tmp_path,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(2):
            while "startup complete" not in (line := process.stderr.readline()):
                assert line, "it ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@pytest.fixture
def asked(engine):
    """Asks on several new connections at once: to one at a time, the same worker would answer."""
    with (
        httpx.Client(
            base_url=engine,
            headers=TOKEN,
            timeout=60,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client,
        ThreadPoolExecutor(4) as threads,
    ):

        def ask(method, path, **how):
            return list(threads.map(lambda _: client.request(method, path, **how), range(4)))

        yield ask


def of_each_worker(ask):
    """Ask until both have answered: worker -> its answer."""
    found = {}
    while len(found) < 2:
        found |= {answer.headers["x-worker"]: answer for answer in ask()}
    return found


def test_both_speak_and_either_tells_of_any_line_and_any_job(asked):
    spoken = of_each_worker(lambda: asked("POST", SPEAK, json=LINE))
    for told in (answer.json() for answer in spoken.values()):
        polls = of_each_worker(lambda: asked("GET", f"{SPEAK}/{told['job_id']}"))  # noqa: B023
        assert polls.keys() == spoken.keys()
        assert all(poll.json() == told for poll in polls.values())

    jobs = of_each_worker(lambda: asked("POST", f"{SPEAK}/qwen/generate", json=LINE, headers=ASYNC))
    for answer in jobs.values():
        assert answer.status_code == 202, answer.text
        job = f"{JOBS}/{answer.json()['id']}"
        for events in asked("GET", f"{job}/events"):
            assert '"succeeded"' in events.text
        for audio in of_each_worker(lambda: asked("GET", f"{job}/audio")).values():  # noqa: B023
            assert audio.content.startswith(b"RIFF")
