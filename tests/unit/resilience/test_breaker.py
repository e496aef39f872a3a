"""A backend that is down costs nothing, and is back when it says so."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.adapters.resilience import Breaker
from storycore_tts.domain.errors import (
    BackendTimeout,
    BackendUnavailable,
    InvalidRequest,
    NodePackMissing,
    OutOfMemory,
)
from storycore_tts.domain.events import AvailabilityChanged
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.settings import BreakerConfig

HELLO = SpeechRequest("Hello.", "Ryan")
DOWN = BackendUnavailable("Nobody there.", hint="Start it.", retryable=True)
QUICK = BreakerConfig(failures=3, probe_seconds=0.02)
SLOW = BreakerConfig(failures=3, probe_seconds=1000.0)


def breaker(adapter, heard, policy=SLOW):
    return Breaker(adapter, name=adapter.name, policy=policy, tell=heard.append)


async def fail(layer, times):
    for _ in range(times):
        with pytest.raises(BackendUnavailable):
            await layer.synthesize(HELLO)


async def test_after_some_failures_in_a_row_nobody_asks(scripted, heard):
    adapter = scripted("comfyui", *[DOWN] * 10)
    layer = breaker(adapter, heard)
    await fail(layer, 5)
    assert len(adapter.calls) == 3
    assert layer.is_open
    assert heard == [AvailabilityChanged("", "comfyui", available=False, error=DOWN)]
    await layer.aclose()


async def test_the_error_says_what_is_known_and_is_not_retried(scripted, heard):
    layer = breaker(scripted("comfyui", *[DOWN] * 3), heard)
    await fail(layer, 3)
    with pytest.raises(BackendUnavailable, match=r"comfyui is down.*Nobody there") as caught:
        await layer.synthesize(HELLO)
    assert not caught.value.retryable
    assert caught.value.retry_after == 1000.0
    assert caught.value.hint == "Start it."
    await layer.aclose()


async def test_it_closes_when_the_backend_is_back(scripted, heard, until):
    adapter = scripted("comfyui", *[DOWN] * 3)
    adapter.reachable = False
    layer = breaker(adapter, heard, QUICK)
    await fail(layer, 3)
    while adapter.looks < 3:
        adapter.looked.clear()
        await adapter.looked.wait()
    assert layer.is_open
    adapter.reachable = True
    await until(lambda: not layer.is_open)
    assert (await layer.synthesize(HELLO)).backend == "comfyui"
    assert heard[-1] == AvailabilityChanged("", "comfyui", available=True)
    await layer.aclose()


async def test_closing_ends_the_looking(scripted, heard):
    adapter = scripted("comfyui", *[DOWN] * 3)
    layer = breaker(adapter, heard)
    before = asyncio.all_tasks()
    await fail(layer, 3)
    assert asyncio.all_tasks() != before
    await layer.aclose()
    await layer.aclose()
    assert asyncio.all_tasks() == before
    assert adapter.closed == 2


async def test_a_cancellation_while_it_closes_is_not_lost(scripted, heard, until):
    adapter = scripted("comfyui", *[DOWN] * 3)
    hurry, status = asyncio.Event(), adapter.status

    async def slow_to_leave():
        await status()
        try:
            await asyncio.Event().wait()
        finally:
            await hurry.wait()

    adapter.status = slow_to_leave
    layer = breaker(adapter, heard, QUICK)
    await fail(layer, 3)
    await adapter.looked.wait()
    closing = asyncio.ensure_future(layer.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert adapter.closed == 1
    hurry.set()


async def test_a_success_in_between_counts(scripted, heard):
    adapter = scripted("comfyui", DOWN, DOWN, 0.0, DOWN, DOWN)
    layer = breaker(adapter, heard)
    await fail(layer, 2)
    await layer.synthesize(HELLO)
    await fail(layer, 2)
    assert not layer.is_open


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("Bad."),
        OutOfMemory("Full."),
        NodePackMissing("One node is missing."),
        BackendTimeout("Long queue.", wait="queue", seconds=1),
        BackendTimeout("Silent job.", wait="idle", seconds=1),
    ],
    ids=lambda error: str(error),
)
async def test_errors_of_one_job_do_not_open_it(scripted, heard, error):
    adapter = scripted("comfyui", *[error] * 5)
    layer = breaker(adapter, heard)
    for _ in range(5):
        with pytest.raises(type(error)):
            await layer.synthesize(HELLO)
    assert not layer.is_open


async def test_a_server_that_does_not_answer_opens_it(scripted, heard):
    error = BackendTimeout("Slow.", wait="request", seconds=1)
    layer = breaker(scripted("comfyui", *[error] * 3), heard)
    await fail(layer, 3)
    assert layer.is_open
    await layer.aclose()


async def test_all_ports_share_it(scripted, heard):
    adapter = scripted("comfyui", *[DOWN] * 3)
    layer = breaker(adapter, heard)
    await fail(layer, 2)
    with pytest.raises(BackendUnavailable):
        await layer.speakers()
    with pytest.raises(BackendUnavailable, match="is down"):
        _ = [chunk async for chunk in layer.synthesize_stream(HELLO)]
    await layer.aclose()


async def test_many_failures_at_once_open_it_once(scripted, heard, until):
    adapter = scripted("comfyui", *[DOWN] * 50)
    adapter.gate = asyncio.Event()
    layer = breaker(adapter, heard)
    calls = [asyncio.ensure_future(layer.synthesize(HELLO)) for _ in range(50)]
    await until(lambda: len(adapter.calls) == 50)
    adapter.gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, BackendUnavailable) for answer in answers)
    assert len(heard) == 1
    await layer.aclose()


def test_the_looking_moves_to_another_event_loop(scripted, heard, until):
    """A program may call ``asyncio.run`` for each line; the first one's task ends with it."""
    made = {}

    async def first():
        made["adapter"] = scripted("comfyui", *[DOWN] * 3)
        made["layer"] = breaker(made["adapter"], heard, QUICK)
        made["adapter"].reachable = False
        await fail(made["layer"], 3)

    async def second():
        layer, adapter = made["layer"], made["adapter"]
        adapter.looked, adapter.reachable = asyncio.Event(), True
        await fail(layer, 1)
        await until(lambda: not layer.is_open)
        assert (await layer.synthesize(HELLO)).backend == "comfyui"
        await layer.aclose()

    asyncio.run(first())
    asyncio.run(second())
