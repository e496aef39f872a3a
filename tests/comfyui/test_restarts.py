"""A server that restarts between a job's end and its download: its start deletes the speech."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts import CloneRequest, SpeechRequest
from storycore_tts.testing.comfyui import Hang
from storycore_tts.testing.comfyui.log import FaultUsed

LINE = SpeechRequest("Hello.", "Ryan")


@pytest.mark.parametrize("asks", ["speak", "clone"])
async def test_the_job_is_given_again(server, make_adapter, reference, asks):
    adapter = make_adapter(server.url, request=60.0, away=60.0)
    request = LINE if asks == "speak" else CloneRequest("Hello.", reference, x_vector_only=True)
    # A clone first downloads its reference, to see that it arrived.
    server.faults.add(Hang(path="/view", after=0 if asks == "speak" else 1))
    ask = adapter.synthesize(request) if asks == "speak" else adapter.clone(request)
    call = asyncio.ensure_future(ask)
    assert await server.log.until(lambda log: log.of(FaultUsed))
    await asyncio.to_thread(server.restart)
    speech = await asyncio.wait_for(call, 60)
    assert speech.duration > 0
    assert any("submitted again" in warning for warning in speech.warnings)
    assert server.log.submitted == [speech.job_id] * 2
