"""SIGTERM while the service works: it says farewell in time, and goes on after its next start."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from storycore_tts.testing.comfyui import StandInProcess
from storycore_tts.testing.service_process import ServiceProcess

from .lines import JOBS, Line, client, ended, is_right

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

FAREWELL = 10.0  # s that requests under way have
CLOSING = 10.0  # s, on a busy machine, for all that comes after them


def reader_that_sleeps(service: ServiceProcess) -> socket.socket:
    """Ask for a sound of many megabytes, and read no more than its beginning."""
    body = b'{"text": "%s", "language": "English", "backend": "draft"}' % (b"And so on. " * 400)
    host, port = service.url.removeprefix("http://").split(":")
    sleeper = socket.socket()
    sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sleeper.settimeout(60)
    sleeper.connect((host, int(port)))
    sleeper.sendall(
        b"POST /ai/tts/qwen/generate HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    assert sleeper.recv(15) == b"HTTP/1.1 200 OK"
    return sleeper


async def follow(http: httpx.AsyncClient, job_id: str) -> httpx.Response:
    """Begin to follow a job's events; what comes first is how it stands."""
    request = http.build_request("GET", f"{JOBS}/{job_id}/events")
    answer = await http.send(request, stream=True)
    assert answer.status_code == 200
    return answer


async def test_it_stops_in_time_and_its_jobs_go_on_afterwards(tmp_path: Path) -> None:
    """One runs, some wait, clients follow, wait and sleep; the one that runs is not begun anew."""
    lines = [Line(number) for number in (0, 2, 6, 8, 10, 12)]
    async with AsyncExitStack() as stack:
        comfyui = stack.enter_context(StandInProcess(data_dir=tmp_path / "comfyui"))
        service = ServiceProcess(
            tmp_path / "service", comfyui_url=comfyui.url, server={"backends": ["draft"]}
        )
        stack.callback(service.kill)
        await asyncio.to_thread(service.start)
        http = await stack.enter_async_context(client(service))
        gate = comfyui.faults.hold("running")
        ids = [(await http.post(**line.asked)).json()["id"] for line in lines]
        assert await asyncio.to_thread(gate.reached.wait, 30)
        follower_of_all = [await follow(http, job_id) for job_id in ids]
        sleeper = await asyncio.to_thread(reader_that_sleeps, service)
        stack.callback(sleeper.close)
        plain = {"text": "I wait for the sound itself.", "language": "English"}
        waits = asyncio.ensure_future(http.post("/ai/tts/qwen/generate", json=plain))

        began = time.monotonic()
        service.tell_to_stop()
        assert await asyncio.to_thread(service.wait, 60) == 0
        assert time.monotonic() - began < FAREWELL + CLOSING
        assert "Traceback" not in service.said, service.said
        assert (await waits).status_code == 503
        assert (await waits).json()["detail"] == "The service is shutting down."
        for answer in follower_of_all:
            await answer.aclose()

        gate.release()
        await asyncio.to_thread(service.start)
        async with client(service) as again:
            for job_id, line in zip(ids, lines, strict=True):
                assert (await ended(again, job_id))["state"] == "succeeded"
                is_right((await again.get(f"{JOBS}/{job_id}/audio")).content, line)
        assert await asyncio.to_thread(service.stop) == 0
    submitted = Counter(comfyui.log.submitted)
    assert {job_id: submitted[job_id] for job_id in ids} == dict.fromkeys(ids, 1)
    assert not set(comfyui.log.interrupted) & set(ids)
