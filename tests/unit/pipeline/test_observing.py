"""Every request is told of, however it ends."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from storycore_tts.domain.events import RequestFinished, RequestStarted
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Timings
from storycore_tts.errors import GenerationFailed
from storycore_tts.pipeline.observing import Observer

pytestmark = pytest.mark.virtual_clock

HELLO = SpeechRequest("Hello.", "Ryan")


@pytest.fixture
def observed(ports, heard):
    observer = Observer(backend=lambda: "configured", tell=heard.append)
    return lambda adapter: ports(adapter, observer)


async def test_a_request_that_went_well(scripted, observed, heard):
    adapter = scripted("draft")
    adapter.gate = asyncio.Event()
    asyncio.get_running_loop().call_later(3600, adapter.gate.set)
    await observed(adapter).synthesize(HELLO)
    started, finished = heard
    assert started == RequestStarted("synthesize", "configured", started.request_id)
    assert finished == RequestFinished(
        operation="synthesize",
        backend="draft",
        request_id=started.request_id,
        outcome="ok",
        seconds=3600,
        audio_seconds=1.0,
        timings=Timings(0.1, 0.2, 0.3),
        job_id="job-1",
    )


async def test_requests_that_failed_or_were_cancelled_each_with_an_id_of_its_own(
    scripted, observed, heard, until
):
    error = GenerationFailed("No.")
    adapter = scripted("draft", error)
    layer = observed(adapter)
    with pytest.raises(GenerationFailed):
        await layer.synthesize(HELLO)
    adapter.gate = asyncio.Event()
    calls = [asyncio.ensure_future(layer.synthesize(HELLO)) for _ in range(20)]
    await until(lambda: len(adapter.calls) == 21)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    failed, *cancelled = heard.of(RequestFinished)
    told = (failed.outcome, failed.error, failed.backend)
    assert told == ("GenerationFailed", error, "configured")
    assert [event.outcome for event in cancelled] == ["cancelled"] * 20
    assert len({event.request_id for event in heard.of(RequestStarted)}) == 21


async def test_a_stream_is_one_request_also_if_nobody_hears_its_end(scripted, observed, heard):
    layer = observed(scripted("direct"))
    async for _ in layer.synthesize_stream(HELLO):
        assert heard.of(RequestFinished) == []
    async with aclosing(layer.synthesize_stream(HELLO)) as stream:
        await anext(stream)
    finished, left = heard.of(RequestFinished)
    assert (finished.operation, finished.outcome) == ("synthesize_stream", "ok")
    assert finished.backend == "direct"
    assert finished.audio_seconds == pytest.approx(0.3)
    assert heard.of(RequestStarted)[0].request_id == finished.request_id
    assert left.outcome == "cancelled"
    assert left.audio_seconds == pytest.approx(0.1)
