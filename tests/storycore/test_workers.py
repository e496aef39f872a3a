"""The router in an app that several processes serve."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
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


def asked(url, method, path, times, **how):
    """Ask on new connections, which the system deals out among the workers."""
    return [
        httpx.request(method, url + path, headers=TOKEN, timeout=60, **how) for _ in range(times)
    ]


def test_both_speak_and_either_tells_of_any_line_and_any_job(engine):
    by = {}
    while len(by) < 2:
        (answer,) = asked(engine, "POST", SPEAK, 1, json=LINE)
        by[answer.headers["x-worker"]] = answer.json()
    for told in by.values():
        polls = asked(engine, "GET", f"{SPEAK}/{told['job_id']}", 8)
        assert {poll.headers["x-worker"] for poll in polls} <= by.keys()
        assert all(poll.json() == told for poll in polls)

    jobs = {}
    while len(jobs) < 2:
        headers = {**TOKEN, **ASYNC}
        answer = httpx.post(engine + SPEAK + "/qwen/generate", json=LINE, headers=headers)
        assert answer.status_code == 202, answer.text
        jobs[answer.headers["x-worker"]] = answer.json()["id"]
    for job_id in jobs.values():
        with httpx.stream(
            "GET", f"{engine}{JOBS}/{job_id}/events", headers=TOKEN, timeout=60
        ) as events:
            assert '"succeeded"' in events.read().decode()
        for answer in asked(engine, "GET", f"{JOBS}/{job_id}/audio", 8):
            assert answer.content.startswith(b"RIFF")
