"""Many clients at once: no error, no growth, and nothing left when they have gone."""

from __future__ import annotations

import asyncio
import http.client
import time
from pathlib import Path

import httpx
import psutil
import pytest

from storycore_tts.testing.service_process import ServiceProcess

from .lines import JOBS, client, ended

pytestmark = pytest.mark.once

CLIENTS = 50
IDLE = 6.0  # s; longer than some servers keep a connection on which nothing comes
ROUNDS = 5  # requests of each client, at least
GROWTH = 24 * 2**20  # bytes; a response that is kept is found long before
SETTLED = 30.0  # s, for what ends soon after the last request


def measured(process: psutil.Process) -> tuple[int, int, int]:
    """Its memory in bytes, its threads, its connections with clients."""
    open_ones = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]
    return process.memory_info().rss, process.num_threads(), len(open_ones)


async def one_client(http: httpx.AsyncClient, number: int, over: float) -> int:
    """Ask for sound, status, and once in each round a job, until it is time; return how often."""
    asked = 0
    while asked < ROUNDS or time.monotonic() < over:
        line = {"text": f"Client {number} says {asked}.", "language": "English"}
        if asked % ROUNDS == ROUNDS - 1 and number < 5:
            given = await http.post(
                "/ai/tts/qwen/generate", json=line, headers={"Prefer": "respond-async"}
            )
            assert given.status_code == 202, given.text
            assert (await ended(http, given.json()["id"]))["state"] == "succeeded"
        elif asked % 5 == 4:
            assert (await http.get(JOBS, params={"limit": 5})).status_code == 200
        else:
            answer = await http.post("/ai/tts/qwen/generate", json=line)
            assert answer.status_code == 200, answer.text
            assert answer.content[:4] == b"RIFF"
        asked += 1
    return asked


async def crowd(service: ServiceProcess, seconds: float) -> int:
    over = time.monotonic() + seconds
    async with client(service) as http:  # one pool, and a connection for each
        return sum(await asyncio.gather(*(one_client(http, n, over) for n in range(CLIENTS))))


def is_still_good(idle: http.client.HTTPConnection) -> None:
    """Ask on a connection for more, without opening it again, and close it."""
    first = idle.sock
    idle.request("GET", JOBS)
    assert idle.getresponse().status == 200
    assert idle.sock is first
    idle.close()


async def settled(process: psutil.Process, connections: int) -> bool:
    """Wait until no more clients are connected than that."""
    over = time.monotonic() + SETTLED
    while measured(process)[2] > connections:
        if time.monotonic() > over:
            return False
        await asyncio.sleep(0.05)
    return True


@pytest.mark.parametrize(
    "seconds", [1.0, pytest.param(60.0, marks=[pytest.mark.soak, pytest.mark.timeout(300)])]
)
async def test_fifty_clients_leave_nothing_behind(tmp_path: Path, seconds: float) -> None:
    """A connection that was idle for a while is still good; those of the clients are gone."""
    limits = {"requests_per_minute": None, "max_waiting": CLIENTS}
    with ServiceProcess(tmp_path, backend="draft", server=limits) as service:
        process = psutil.Process(service.pid)
        host, port = service.url.removeprefix("http://").split(":")
        idle = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            idle.request("GET", "/openapi.json")
            assert len(idle.getresponse().read()) > 1000
            warming = asyncio.ensure_future(crowd(service, seconds))  # threads, pools, caches
            await asyncio.sleep(IDLE)
            await asyncio.to_thread(is_still_good, idle)
            warm = await warming
            assert await settled(process, 0)
            memory, threads, connections = measured(process)
            asked = await crowd(service, seconds)
            assert await settled(process, connections)
            assert measured(process)[0] - memory < GROWTH
            assert measured(process)[1] <= threads + 8  # pools grow to their size
            async with client(service) as again:
                status = (await again.get("/ai/tts/qwen/status")).json()
            assert status["jobs"] == {"queued": 0, "running": 0}
            assert [backend["waiting"] for backend in status["backends"]] == [0]
            assert [backend["queue_length"] for backend in status["backends"]] == [0]
        finally:
            idle.close()
        print(  # noqa: T201 - pytest -s shows the figures
            f"{warm} + {asked} requests; memory {memory / 2**20:.0f} MiB, "
            f"then {measured(process)[0] / 2**20:.0f} MiB; {threads} threads, "
            f"then {measured(process)[1]}"
        )
        assert service.stop() == 0
        assert service.said == ""
