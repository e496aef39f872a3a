"""A backend that is down costs nothing, and is back when it says so."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.domain.events import AvailabilityChanged
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.errors import (
    BackendTimeout,
    BackendUnavailable,
    InvalidRequest,
    NodePackMissing,
)
from storycore_tts.pipeline.breaker import Breaker
from storycore_tts.settings import BreakerConfig

HELLO = SpeechRequest("Hello.", "Ryan")
DOWN = BackendUnavailable("No server there.", hint="Start it.", retryable=True)
POLICY = BreakerConfig(failures=3, probe_seconds=1000.0)

pytestmark = pytest.mark.virtual_clock


@pytest.fixture
def guarded(ports, heard):
    def make(adapter, policy=POLICY):
        breaker = Breaker(
            adapter.name, probe=lambda: adapter.status(), policy=policy, tell=heard.append
        )
        return ports(adapter, breaker), breaker

    return make


async def fail(layer, times):
    for _ in range(times):
        with pytest.raises(BackendUnavailable):
            await layer.synthesize(HELLO)


async def test_after_some_failures_in_a_row_nobody_asks_and_the_error_says_why(
    scripted, guarded, heard
):
    adapter = scripted("comfyui", DOWN, DOWN, 0.0, *[DOWN] * 10)
    layer, breaker = guarded(adapter)
    await fail(layer, 2)
    await layer.synthesize(HELLO)
    await fail(layer, 2)
    assert not breaker.is_open
    with pytest.raises(BackendUnavailable):  # all ports share it
        await layer.speakers()
    assert breaker.is_open
    assert heard == [AvailabilityChanged("", "comfyui", available=False, error=DOWN)]
    said = r"^comfyui is unavailable \(next probe in 1000 s\)\. Last error: No server there"
    with pytest.raises(BackendUnavailable, match=said) as caught:
        await layer.synthesize(HELLO)
    with pytest.raises(BackendUnavailable, match="is unavailable"):
        _ = [chunk async for chunk in layer.synthesize_stream(HELLO)]
    assert len(adapter.calls) == 6
    assert not caught.value.retryable
    assert (caught.value.retry_after, caught.value.hint) == (1000.0, "Start it.")
    await layer.aclose()


async def test_it_looks_now_and_then_and_closes_when_the_backend_is_back(scripted, guarded, heard):
    adapter = scripted("comfyui", *[DOWN] * 3)
    adapter.reachable = False
    layer, breaker = guarded(adapter)
    await fail(layer, 3)
    await asyncio.sleep(10_000)
    assert 10 <= adapter.looks <= 13
    assert breaker.is_open
    adapter.reachable = True
    await asyncio.sleep(1001)
    assert (await layer.synthesize(HELLO)).backend == "comfyui"
    assert heard[-1] == AvailabilityChanged("", "comfyui", available=True)
    looks = adapter.looks
    await asyncio.sleep(10_000)
    assert adapter.looks == looks


async def test_a_status_that_raises_while_the_backend_is_down_does_not_end_the_probing(
    scripted, guarded, heard
):
    adapter = scripted("comfyui", *[DOWN] * 3)
    status, down = adapter.status, [DOWN] * 3

    async def raising():
        if down:
            raise down.pop()
        return await status()

    adapter.status = raising
    layer, breaker = guarded(adapter)
    await fail(layer, 3)
    await asyncio.sleep(10_000)
    assert not breaker.is_open
    assert heard[-1] == AvailabilityChanged("", "comfyui", available=True)


async def test_a_cancellation_while_it_closes_is_not_lost(scripted, guarded, heard):
    adapter = scripted("comfyui", *[DOWN] * 3)
    hurry, status = asyncio.Event(), adapter.status

    async def slow_to_leave():
        await status()
        try:
            await asyncio.Event().wait()
        finally:
            await hurry.wait()

    adapter.status = slow_to_leave
    layer, _ = guarded(adapter)
    await fail(layer, 3)
    await asyncio.sleep(1001)
    closing = asyncio.ensure_future(layer.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert adapter.closed == 1
    hurry.set()


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (InvalidRequest("Bad."), False),
        (NodePackMissing("One node is missing."), False),
        (BackendTimeout("Long queue.", wait="queue", seconds=1), False),
        (BackendTimeout("Silent job.", wait="idle", seconds=1), False),
        (BackendTimeout("Slow server.", wait="request", seconds=1), True),
    ],
    ids=str,
)
async def test_only_errors_of_the_backend_itself_open_it(scripted, guarded, heard, error, opens):
    layer, breaker = guarded(scripted("comfyui", *[error] * 3))
    for _ in range(3):
        with pytest.raises(type(error)):
            await layer.synthesize(HELLO)
    assert breaker.is_open is opens
    await layer.aclose()


async def test_a_call_that_closing_ended_says_nothing_of_the_backend(
    scripted, guarded, heard, until
):
    adapter = scripted("comfyui", *[DOWN] * 3)
    adapter.gate = asyncio.Event()
    layer, breaker = guarded(adapter)
    calls = [asyncio.ensure_future(layer.synthesize(HELLO)) for _ in range(3)]
    await until(lambda: len(adapter.calls) == 3)
    await layer.aclose()
    adapter.gate.set()
    assert await asyncio.gather(*calls, return_exceptions=True) == [DOWN] * 3
    assert not breaker.is_open


async def test_many_failures_at_once_open_it_once_and_closing_ends_the_looking(
    scripted, guarded, heard, until
):
    adapter = scripted("comfyui", *[DOWN] * 50)
    adapter.gate = asyncio.Event()
    layer, _ = guarded(adapter)
    before = asyncio.all_tasks()
    calls = [asyncio.ensure_future(layer.synthesize(HELLO)) for _ in range(50)]
    await until(lambda: len(adapter.calls) == 50)
    adapter.gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, BackendUnavailable) for answer in answers)
    assert len(heard) == 1
    assert len(asyncio.all_tasks() - before) == 1
    await layer.aclose()
    await layer.aclose()
    assert asyncio.all_tasks() == before
    assert adapter.closed == 2


def test_the_looking_moves_to_another_event_loop(scripted, guarded, heard):
    """A program may call ``asyncio.run`` for each line; the first one's task ends with it."""
    adapter = scripted("comfyui", *[DOWN] * 3)
    layer, _ = guarded(adapter, BreakerConfig(failures=3, probe_seconds=0.01))

    async def first():
        adapter.reachable = False
        await fail(layer, 3)

    async def second():
        adapter.looked, adapter.reachable = asyncio.Event(), True
        await fail(layer, 1)
        await adapter.looked.wait()
        await asyncio.sleep(0)
        assert (await layer.synthesize(HELLO)).backend == "comfyui"
        await layer.aclose()

    asyncio.run(first())
    asyncio.run(second())


class EndingLoop(asyncio.SelectorEventLoop):
    """Is closed between a look at it and the call."""

    ends = False

    def call_soon_threadsafe(self, *args, **more):
        if self.ends:
            raise RuntimeError("Event loop is closed")
        return super().call_soon_threadsafe(*args, **more)


def test_closing_while_the_loop_that_looks_ends_raises_nothing_of_asyncios_own(
    scripted, guarded, heard
):
    adapter = scripted("comfyui", *[DOWN] * 3)
    layer, _ = guarded(adapter)
    loop = EndingLoop()
    loop.run_until_complete(fail(layer, 3))
    loop.ends = True
    asyncio.run(layer.aclose())
    assert adapter.closed == 1
    loop.ends = False
    (probe,) = asyncio.all_tasks(loop)
    probe.cancel()
    loop.run_until_complete(asyncio.wait([probe]))
    loop.close()
