"""A job with an id of the caller's is picked up on a real server instead of being done twice."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from storycore_tts import GenerationFailed, Sampling, SpeechRequest
from storycore_tts.testing.comfyui import NodeError


def line(job: str, *, speaker: str = "Ryan", seed: int | None = None) -> SpeechRequest:
    return SpeechRequest("Hello.", speaker, sampling=Sampling(seed=seed), job_id=job)


@pytest.fixture
def job() -> str:
    return str(uuid4())


async def test_a_job_under_way_is_followed(server, make_adapter, job):
    gate = server.faults.hold("running")
    first = asyncio.ensure_future(make_adapter(server.url).synthesize(line(job, seed=7)))
    assert await asyncio.to_thread(gate.reached.wait, 30)
    second = asyncio.ensure_future(
        make_adapter(server.url).synthesize(line(job, speaker="Vivian", seed=8))
    )
    assert await server.log.until(lambda log: len(log.ws_connections) == 2)
    gate.release()
    for speech in await asyncio.wait_for(asyncio.gather(first, second), 30):
        assert (speech.seed, speech.speaker, speech.job_id) == (7, "Ryan", job)
        assert speech.duration == pytest.approx(1.0, abs=0.01)
    assert server.log.submitted == [job]


async def test_a_job_that_is_done_is_fetched(server, make_adapter, job):
    await make_adapter(server.url).synthesize(line(job, speaker="Serena", seed=7))
    again = await make_adapter(server.url).synthesize(line(job, seed=8))
    assert (again.seed, again.speaker) == (7, "Serena")
    assert again.duration == pytest.approx(1.0, abs=0.01)
    assert server.log.submitted == [job]


async def test_a_job_that_failed_is_done_again(server, adapter, job):
    server.faults.add(NodeError())
    with pytest.raises(GenerationFailed):
        await adapter.synthesize(line(job, seed=7))
    speech = await asyncio.wait_for(adapter.synthesize(line(job, seed=8)), 30)
    assert speech.seed == 8
    assert server.log.submitted == [job, job]
