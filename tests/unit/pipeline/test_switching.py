"""Another adapter from now on, and one adapter for all who want the same."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.errors import BackendUnavailable
from storycore_tts.pipeline.calls import Dispatcher
from storycore_tts.pipeline.sharing import SharedBackends
from storycore_tts.pipeline.switching import Switching
from storycore_tts.ports import Capabilities

pytestmark = pytest.mark.virtual_clock

HELLO = SpeechRequest("Hello.", "Ryan")


@pytest.fixture
def switching(ports):
    def make(adapter):
        switching = Switching(Dispatcher(adapter, adapter.name))
        return ports(switching), switching

    return make


async def test_new_calls_go_to_the_new_one_and_old_ones_end_where_they_began(
    scripted, switching, until
):
    old, new = scripted("comfyui"), scripted("direct")
    layer, switch = switching(old)
    stream = layer.synthesize_stream(HELLO)
    chunks = [await anext(stream)]
    old.gate = asyncio.Event()
    under_way = asyncio.ensure_future(layer.synthesize(HELLO))
    await until(lambda: len(old.calls) == 2)
    new.capabilities = Capabilities(speech=True)
    switch.switch(Dispatcher(new, "direct"))
    assert (await layer.synthesize(HELLO)).backend == "direct"
    assert layer.capabilities is new.capabilities
    assert (await layer.status()).backend == "direct"
    old.gate.set()
    assert (await under_way).backend == "comfyui"
    assert old.closed == 0
    chunks += [chunk async for chunk in stream]
    assert [chunk.backend for chunk in chunks] == ["comfyui"] * 3
    await layer.aclose()
    assert (old.closed, new.closed) == (1, 1)


async def test_an_idle_one_is_closed_at_once_and_once(scripted, switching, until):
    old = scripted("comfyui", BackendUnavailable("No."))
    layer, switch = switching(old)
    with pytest.raises(BackendUnavailable):
        await layer.synthesize(HELLO)
    switch.switch(Dispatcher(scripted("direct"), "direct"))
    await until(lambda: old.closed)
    await layer.aclose()
    assert old.closed == 1


async def test_closing_closes_those_too_that_are_still_at_work(scripted, switching, until):
    """Settings were changed in mid-job and the client is left: the old backend must know."""
    old = scripted("comfyui")
    old.gate = asyncio.Event()
    layer, switch = switching(old)
    under_way = asyncio.ensure_future(layer.synthesize(HELLO))
    await until(lambda: old.calls)
    switch.switch(Dispatcher(scripted("direct"), "direct"))
    await layer.aclose()
    assert old.closed == 1
    old.gate.set()
    await under_way
    await asyncio.sleep(1)
    assert old.closed == 1


async def test_who_gives_up_on_closing_does_not_break_it_off(scripted, switching):
    old, closed = scripted("comfyui"), asyncio.Event()

    async def slowly():
        await asyncio.sleep(5)
        closed.set()

    old.aclose = slowly
    layer, switch = switching(old)
    switch.switch(Dispatcher(scripted("direct"), "direct"))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(layer.aclose(), 1)
    await asyncio.sleep(5)
    assert closed.is_set()


async def test_one_that_refuses_asks_nobody(scripted, switching):
    adapter = scripted("comfyui")
    layer, switch = switching(adapter)
    switch.refuse()
    with pytest.raises(BackendUnavailable, match="closed") as refused:
        await layer.synthesize(HELLO)
    assert not refused.value.retryable
    with pytest.raises(BackendUnavailable, match="closed"):
        _ = [chunk async for chunk in layer.synthesize_stream(HELLO)]
    assert adapter.calls == []


async def test_one_adapter_for_all_who_want_the_same(scripted, ports):
    shared, made = SharedBackends(), []

    def make():
        made.append(scripted("direct"))
        return Dispatcher(made[-1], "direct")

    one, two = (ports(shared.lease("direct", make)) for _ in range(2))
    assert len(made) == 1
    await one.aclose()
    await one.aclose()
    assert made[0].closed == 0
    for times in (1, 2, 3):  # as in one event loop after another: each has its own connections
        assert (await two.synthesize(HELLO)).backend == "direct"
        await two.aclose()
        assert made[0].closed == times
    shared.lease("direct", make)
    assert len(made) == 2


async def test_one_that_cannot_be_made_leaves_nothing_behind(scripted, ports):
    shared = SharedBackends()

    def fail():
        raise BackendUnavailable("No package.")

    with pytest.raises(BackendUnavailable):
        shared.lease("a", fail)
    one, two = (
        ports(shared.lease(key, lambda key=key: Dispatcher(scripted(key), key))) for key in "ab"
    )
    assert [(await lease.synthesize(HELLO)).backend for lease in (one, two)] == ["a", "b"]
