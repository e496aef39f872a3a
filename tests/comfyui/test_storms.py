"""Many jobs, one server that is down: few attempts to connect, and no rush when it is back."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from storycore_tts import BackendUnavailable, SpeechRequest
from storycore_tts.adapters.comfyui import events
from storycore_tts.testing.comfyui import RefuseSocket, StandInProcess
from storycore_tts.testing.comfyui.log import Request

LINE = SpeechRequest("Hello, this is a test.", "Ryan")

# Attempts in each second: a machine that pauses may crowd them.

_attempts: list[tuple[float, object]] = []


def _note(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect":
        _attempts.append((time.monotonic(), args[1]))


@pytest.fixture(scope="module", autouse=True)
def _audit() -> None:
    sys.addaudithook(_note)  # for good: no hook can be taken away


@contextmanager
def attempts(port: int) -> Iterator[list[float]]:
    """Collect the times of all attempts of this process to connect to a port."""
    found: list[float] = []
    before = len(_attempts)
    yield found
    found += [
        when
        for when, address in _attempts[before:]
        if isinstance(address, tuple) and address[1] == port
    ]


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def check_calm(times: list[float], began: float, seconds: float) -> None:
    assert times, "nobody tried to connect at all"
    assert len(times) / seconds < 3, times
    later = [when for when in times if when > began + 1]
    for start in later:
        assert sum(start <= when < start + 1 for when in later) < 3, times


@pytest.fixture
def process() -> Iterator[StandInProcess]:
    with StandInProcess(instant=True) as running:
        yield running


async def under_way(process: StandInProcess, adapter, count: int) -> list[asyncio.Future]:
    """Start jobs, one of which runs and stays there."""
    gate = process.faults.hold("running")
    calls = [asyncio.ensure_future(adapter.synthesize(LINE)) for _ in range(count)]
    assert await process.log.until(lambda log: len(log.submitted) == count, 30)
    assert await asyncio.to_thread(gate.reached.wait, 10)
    return calls


async def test_forty_jobs_survive_a_server_that_is_killed(process, make_adapter):
    adapter = make_adapter(process.url, away=20.0)
    calls = await under_way(process, adapter, 40)
    process.kill()
    killed = time.monotonic()
    with attempts(port_of(process.url)) as tried:
        await asyncio.sleep(3.0)  # how long it is down
    check_calm(tried, killed, 3.0)
    before = len(process.log.of(Request))
    await asyncio.to_thread(process.start)
    spoken = await asyncio.wait_for(asyncio.gather(*calls), 40)
    for speech in spoken:
        assert speech.duration == pytest.approx(1.0, abs=0.01)
        assert "was given it again" in speech.warnings[0]
    jobs = {speech.job_id for speech in spoken}
    assert len(jobs) == 40
    assert sorted(process.log.submitted) == sorted([*jobs, *jobs])
    assert all(process.log.executed_ids.count(job) == 1 for job in jobs)
    since = [record.path for record in process.log.of(Request)[before:]]
    assert since.count("/ws") <= 1  # noted when it closes
    assert len(process.log.ws_connections) == 2
    # Three looks at each while it counts as lost, and what its end costs.
    assert sum(path.startswith("/history/") for path in since) <= 40 * 6


async def test_two_hundred_jobs_of_a_server_that_stays_away(process, make_adapter):
    adapter = make_adapter(process.url, away=4.0, cancel=1.0)
    calls = await under_way(process, adapter, 200)
    with attempts(port_of(process.url)) as tried:
        process.kill()
        killed = time.monotonic()
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
        await asyncio.wait(adapter._session()._background, timeout=10)  # all are withdrawn
        seconds = time.monotonic() - killed
    check_calm(tried, killed, seconds)
    assert all(isinstance(error, BackendUnavailable) for error in ended)
    assert not any(error.retryable for error in ended)


async def test_callers_that_ask_again_and_again_do_not_reach_the_network(make_adapter):
    """Nor does the error tell whether the network was asked."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    adapter = make_adapter(f"http://127.0.0.1:{port}")
    said = set()

    async def keeps_asking(until: float) -> None:
        while time.monotonic() < until:
            with pytest.raises(BackendUnavailable) as failed:
                await adapter.synthesize(LINE)
            assert failed.value.retryable
            said.add((type(failed.value), str(failed.value)))
            await asyncio.sleep(0.05)  # the pace of a caller that does not give up

    began = time.monotonic()
    with attempts(port) as tried:
        await asyncio.gather(*(keeps_asking(began + 4.0) for _ in range(100)))
    later = [when for when in tried if when > began + 1]
    check_calm(later, began, 3.0)
    assert all(b - a > 0.9 for a, b in pairwise(later))
    assert len(said) == 1


async def test_the_stream_is_back_as_soon_as_http_is(server, make_adapter, monkeypatch):
    monkeypatch.setattr(events, "_FIRST_PAUSE", 60.0)
    adapter = make_adapter(server.url)
    await adapter.synthesize(LINE)
    server.cut_sockets()
    assert await server.log.until(lambda log: log.open_sockets == 0)
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: len(log.ws_connections) == 2, 15)
    gate.release()
    await asyncio.wait_for(call, 15)


async def test_a_websocket_that_never_works_is_not_tried_at_every_answer(server, make_adapter):
    server.faults.add(RefuseSocket(times=None))
    adapter = make_adapter(server.url)
    with attempts(port_of(server.url)) as tried:
        await asyncio.gather(*(adapter.synthesize(LINE) for _ in range(100)))
    assert server.log.http_count("/ws") <= 8
    assert len(tried) <= 8 + 8  # and the pool of HTTP
