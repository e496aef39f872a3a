"""Closing an adapter while it is asked for something: that ends at once, and says why."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storycore_tts import (
    BackendUnavailable,
    QwenTTSComfyUIClient,
    QwenTTSConfig,
    SpeechRequest,
    open_tts,
)
from storycore_tts.adapters.comfyui.transport.http import tls_context
from storycore_tts.adapters.comfyui.transport.reachability import ReachabilityCache
from storycore_tts.adapters.comfyui.transport.websocket import EventStream
from storycore_tts.domain.events import AvailabilityChanged, Event, FellBack
from storycore_tts.testing.comfyui import Hang
from storycore_tts.testing.comfyui.log import FaultUsed

LINE = SpeechRequest("Hello, this is a test.", "Ryan")


@pytest.mark.parametrize("path", ["/system_stats", "/object_info/*", "/prompt", "/view"])
async def test_a_request_that_the_closing_cuts_off_is_not_to_be_asked_again(server, adapter, path):
    """Asked again, it would open connections that are never closed."""
    server.faults.add(Hang(path=path))
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: log.of(FaultUsed))
    await adapter.aclose()
    with pytest.raises(BackendUnavailable, match="closed") as failed:
        await asyncio.wait_for(call, 30)
    assert not failed.value.retryable


async def test_a_request_that_waits_for_its_turn_hears_of_the_closing(server, adapter):
    server.faults.add(Hang(path="/queue", times=None))
    calls = [asyncio.ensure_future(adapter.status()) for _ in range(20)]
    assert await server.log.until(lambda log: log.of(FaultUsed))
    await adapter.aclose()
    for status in await asyncio.gather(*calls):
        assert not status.reachable
        assert "closed" in status.problems[0].message


async def test_what_the_closing_ends_is_no_reason_to_fall_back(server):
    """Another backend would only now load its model, and a probe would run on."""
    heard: list[Event] = []
    gate = server.faults.hold("running")
    async with open_tts(QwenTTSConfig(comfyui_url=server.url, fallback="draft")) as tts:
        tts.add_listener(heard.append)
        calls = [asyncio.ensure_future(tts.synthesize(LINE)) for _ in range(5)]
        assert await server.log.until(lambda log: len(log.submitted) == 5)
    ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
    gate.release()
    assert [type(end) for end in ended] == [BackendUnavailable] * 5
    assert not [event for event in heard if isinstance(event, AvailabilityChanged | FellBack)]


def connections_to(server) -> int:
    """Those of ours that are open; the server has its own ends in this process."""
    port = urlsplit(server.url).port
    found = (one for one in gc.get_objects() if issubclass(type(one), asyncio.Transport))
    ours = (one for one in found if (one.get_extra_info("peername") or [0, 0])[1] == port)
    return sum(one.get_extra_info("socket").fileno() >= 0 for one in ours)


async def test_a_client_that_is_used_again_can_be_closed_again(server, tmp_path: Path):
    client = QwenTTSComfyUIClient(comfyui_url=server.url)
    before = asyncio.all_tasks()
    for _ in range(3):
        await client.generate_voice(LINE.text, output_path=tmp_path / "line.wav")
        await client.aclose()
        await asyncio.sleep(0)  # asyncio closes sockets in its next step
        assert asyncio.all_tasks() == before
        assert connections_to(server) == 0


async def test_a_websocket_is_closed_however_often_it_is_cancelled(server):
    """When ``asyncio.run`` ends it cancels every task, and the session its own once more."""
    config, opened = QwenTTSConfig(comfyui_url=server.url), asyncio.Event()
    reachability = ReachabilityCache()
    stream = EventStream(config, tls_context(config), reachability, lambda *_: None, opened.set)
    running = asyncio.ensure_future(stream.run())
    await opened.wait()
    assert stream.connected
    assert connections_to(server) == 1
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert connections_to(server) == 0
