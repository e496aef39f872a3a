"""Closing an adapter while it is asked for something: that ends at once, and says why."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts import BackendUnavailable, QwenTTSConfig, SpeechRequest, open_tts
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.domain.events import AvailabilityChanged, Event, FellBack
from storycore_tts.testing.comfyui import Hang, StandInComfyUI
from storycore_tts.testing.comfyui.log import FaultUsed

LINE = SpeechRequest("Hello, this is a test.", "Ryan")


@pytest.mark.parametrize(
    "path", ["/system_stats", "/object_info/*", "/prompt", "/history/*", "/view"]
)
async def test_a_request_that_the_closing_cuts_off_is_not_to_be_asked_again(
    server: StandInComfyUI, adapter: ComfyUIAdapter, path: str
):
    """Asked again, it would open the connections again, and nobody would close those."""
    server.faults.add(Hang(path=path))
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: log.of(FaultUsed))
    await adapter.aclose()
    with pytest.raises(BackendUnavailable, match="closed") as failed:
        await asyncio.wait_for(call, 10)
    assert not failed.value.retryable


async def test_a_request_that_waits_for_its_turn_hears_of_the_closing(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    server.faults.add(Hang(path="/object_info/*", times=None))
    calls = [asyncio.ensure_future(adapter.speakers()) for _ in range(20)]
    assert await server.log.until(lambda log: log.of(FaultUsed))
    await adapter.aclose()
    for ended in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(ended, BackendUnavailable), repr(ended)
        assert not ended.retryable


async def test_what_the_closing_ends_nobody_goes_on_with(server: StandInComfyUI):
    """Another backend would only now load its model, and a probe look at the server for ever."""
    heard: list[Event] = []
    gate = server.faults.hold("running")
    async with open_tts(QwenTTSConfig(comfyui_url=server.url, fallback="draft")) as tts:
        tts.add_listener(heard.append)
        calls = [asyncio.ensure_future(tts.synthesize(LINE)) for _ in range(5)]
        assert await server.log.until(lambda log: len(log.submitted) == 5)
    ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
    gate.release()
    assert [type(end) for end in ended] == [BackendUnavailable] * 5
    assert not [event for event in heard if isinstance(event, AvailabilityChanged | FellBack)]
