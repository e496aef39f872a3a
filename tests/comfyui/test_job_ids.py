"""A job that has an id of the caller's is picked up instead of being done twice."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import numpy as np
import pytest

from storycore_tts import (
    CloneRequest,
    GenerationFailed,
    InvalidRequest,
    ReferenceAudio,
    Sampling,
    SpeechRequest,
)
from storycore_tts.testing.comfyui import Hang, NodeError
from storycore_tts.testing.comfyui.log import FaultUsed


def line(job: str | None, *, speaker: str = "Ryan", seed: int | None = None) -> SpeechRequest:
    return SpeechRequest("Hello.", speaker, sampling=Sampling(seed=seed), job_id=job)


@pytest.fixture(autouse=True)
def _looks(look_often) -> None: ...


@pytest.fixture
def job() -> str:
    return str(uuid4())


async def test_the_speech_carries_the_id(server, adapter, job):
    assert (await adapter.synthesize(line(job))).job_id == job
    fresh = await adapter.synthesize(line(None))
    assert server.log.submitted == [job, fresh.job_id]


async def test_without_an_id_nobody_looks_for_one(server, adapter):
    gate = server.faults.hold("queue")
    call = asyncio.ensure_future(adapter.synthesize(line(None)))
    assert await server.log.until(lambda log: log.submitted)
    [job] = server.log.submitted
    assert server.log.http_count(f"/history/{job}") == 0
    gate.release()
    await call


async def test_a_job_under_way_is_followed(server, make_adapter, job):
    gate = server.faults.hold("running")
    first = asyncio.ensure_future(make_adapter(server.url).synthesize(line(job, seed=7)))
    assert await asyncio.to_thread(gate.reached.wait, 10)
    second = asyncio.ensure_future(
        make_adapter(server.url).synthesize(line(job, speaker="Vivian", seed=8))
    )
    assert await server.log.until(lambda log: len(log.ws_connections) == 2)
    gate.release()
    for speech in await asyncio.wait_for(asyncio.gather(first, second), 10):
        assert (speech.seed, speech.speaker, speech.job_id) == (7, "Ryan", job)
        assert speech.duration == pytest.approx(1.0, abs=0.01)
    assert server.log.submitted == [job]


async def test_a_job_that_waits_is_followed(server, make_adapter, job):
    gate = server.faults.hold("queue")
    first = asyncio.ensure_future(make_adapter(server.url).synthesize(line(job, seed=7)))
    assert await server.log.until(lambda log: log.submitted)
    adapter = make_adapter(server.url)
    stages = []
    second = asyncio.ensure_future(adapter.synthesize(line(job), on_progress=stages.append))
    assert await server.log.until(lambda log: log.http_count("/queue") > 3)
    gate.release()
    assert (await asyncio.wait_for(second, 10)).seed == (await first).seed == 7
    assert server.log.submitted == [job]


async def test_a_job_that_is_done_is_fetched(server, make_adapter, job):
    await make_adapter(server.url).synthesize(line(job, speaker="Serena", seed=7))
    again = await make_adapter(server.url).synthesize(line(job, seed=8))
    assert (again.seed, again.speaker) == (7, "Serena")
    assert again.duration == pytest.approx(1.0, abs=0.01)
    assert server.log.submitted == [job]


async def test_a_job_that_failed_is_done_again(server, adapter, job):
    """Its old entry in history says nothing of the new run, however early that is asked."""
    server.faults.add(NodeError())
    with pytest.raises(GenerationFailed):
        await adapter.synthesize(line(job, seed=7))
    gate = server.faults.hold("history")
    call = asyncio.ensure_future(adapter.synthesize(line(job, seed=8)))
    assert await asyncio.to_thread(gate.reached.wait, 10)
    asked = server.log.http_count(f"/history/{job}")
    assert await server.log.until(lambda log: log.http_count(f"/history/{job}") > asked + 1)
    gate.release()
    speech = await asyncio.wait_for(call, 10)
    assert speech.seed == 8
    assert server.log.submitted == [job, job]


async def test_an_id_of_another_kind_of_job_is_refused(server, adapter, job):
    await adapter.synthesize(line(job))
    tone = 0.3 * np.sin(np.arange(96_000) / 20)
    reference = ReferenceAudio(tone.astype(np.float32))
    with pytest.raises(InvalidRequest, match="of another kind"):
        await adapter.clone(CloneRequest("Hello.", reference, x_vector_only=True, job_id=job))
    assert server.log.submitted == [job]


async def test_cancelling_while_it_is_looked_for_takes_it_off_the_server(server, make_adapter, job):
    gate = server.faults.hold("running")
    first = asyncio.ensure_future(make_adapter(server.url).synthesize(line(job)))
    assert await asyncio.to_thread(gate.reached.wait, 10)
    silent = Hang(path="/queue", method="GET", times=None)
    server.faults.add(silent)
    second = asyncio.ensure_future(make_adapter(server.url).synthesize(line(job)))
    assert await server.log.until(  # both of them look
        lambda log: [used.fault for used in log.of(FaultUsed)].count("Hang") == 2
    )
    server.faults.remove(silent)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(second, 10)
    gate.release()
    assert await server.log.until(lambda log: log.interrupted == [job])
    await asyncio.wait([first])
    assert first.exception() is not None
