"""Another adapter from now on, and one adapter for all who want the same."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.adapters.resilience import SharedAdapters, Switching
from storycore_tts.domain.errors import BackendUnavailable
from storycore_tts.domain.requests import SpeechRequest

HELLO = SpeechRequest("Hello.", "Ryan")


async def test_new_calls_go_to_the_new_one_and_old_ones_end_where_they_began(scripted, until):
    old, new = scripted("comfyui"), scripted("direct")
    old.gate = asyncio.Event()
    layer = Switching(old)
    under_way = asyncio.ensure_future(layer.synthesize(HELLO))
    await until(lambda: old.calls)
    layer.switch(new)
    assert (await layer.synthesize(HELLO)).backend == "direct"
    assert old.closed == 0
    old.gate.set()
    assert (await under_way).backend == "comfyui"
    await layer.aclose()
    assert (old.closed, new.closed) == (1, 1)


async def test_an_idle_one_is_closed_at_once(scripted, until):
    old = scripted("comfyui")
    layer = Switching(old)
    layer.switch(scripted("direct"))
    await until(lambda: old.closed)
    await layer.aclose()
    assert old.closed == 1


async def test_a_stream_ends_where_it_began(scripted):
    old, new = scripted("direct"), scripted("draft")
    layer = Switching(old)
    stream = layer.synthesize_stream(HELLO)
    chunks = [await anext(stream)]
    layer.switch(new)
    assert old.closed == 0
    chunks += [chunk async for chunk in stream]
    assert len(chunks) == 3
    assert new.calls == []
    await layer.aclose()
    assert old.closed == 1


async def test_a_failed_call_lets_go_of_it_too(scripted):
    old = scripted("comfyui", BackendUnavailable("No."))
    layer = Switching(old)
    with pytest.raises(BackendUnavailable):
        await layer.synthesize(HELLO)
    layer.switch(scripted("direct"))
    await layer.aclose()
    assert old.closed == 1


async def test_capabilities_and_status_are_those_of_the_one_in_use(scripted):
    layer = Switching(scripted("comfyui"))
    new = scripted("direct")
    new.capabilities = object()
    layer.switch(new)
    assert layer.capabilities is new.capabilities
    assert (await layer.status()).backend == "direct"
    await layer.aclose()


async def test_one_adapter_for_all_who_want_the_same(scripted):
    shared, made = SharedAdapters(), []

    def make():
        made.append(scripted("direct"))
        return made[-1]

    one, two = shared.lease("direct", make), shared.lease("direct", make)
    assert len(made) == 1
    await one.aclose()
    await one.aclose()
    assert made[0].closed == 0
    assert (await two.synthesize(HELLO)).backend == "direct"
    await two.aclose()
    assert made[0].closed == 1
    shared.lease("direct", make)
    assert len(made) == 2


async def test_one_that_is_used_after_its_closing_can_be_closed_again(scripted):
    """As in one event loop after another: each has connections of its own."""
    shared, made = SharedAdapters(), scripted("comfyui")
    lease = shared.lease("comfyui", lambda: made)
    for times in (1, 2, 3):
        assert (await lease.synthesize(HELLO)).backend == "comfyui"
        await lease.aclose()
        assert made.closed == times


async def test_another_key_is_another_adapter(scripted):
    shared = SharedAdapters()
    one = shared.lease("a", lambda: scripted("one"))
    two = shared.lease("b", lambda: scripted("two"))
    assert (await one.synthesize(HELLO)).backend == "one"
    assert (await two.synthesize(HELLO)).backend == "two"


async def test_one_that_cannot_be_made_leaves_nothing_behind(scripted):
    shared = SharedAdapters()

    def fail():
        raise BackendUnavailable("No package.")

    with pytest.raises(BackendUnavailable):
        shared.lease("a", fail)
    assert (await shared.lease("a", lambda: scripted("one")).synthesize(HELLO)).backend == "one"
