"""What is asked again, how often, and after which pause."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from storycore_tts.domain.events import AttemptFailed
from storycore_tts.domain.requests import SpeechRequest, TrainingRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.errors import (
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    InvalidRequest,
    JobLost,
    OutOfMemory,
    RunawayGeneration,
    SilentAudio,
)
from storycore_tts.pipeline.retry import Retry
from storycore_tts.settings import RetryConfig

pytestmark = pytest.mark.virtual_clock

HELLO = SpeechRequest("Hello.", "Ryan")
SEEDED = replace(HELLO, sampling=Sampling(seed=7))
TRAINING = TrainingRequest("/data", "/out", "mia")
USUAL = RetryConfig(attempts=3, initial_seconds=1.0, longest_seconds=8.0)

DOWN = BackendUnavailable("No server there.")
RUNAWAY = RunawayGeneration("It did not stop.", partial_duration=9.0)


@pytest.fixture
def retrying(ports, heard):
    def make(adapter, policy=USUAL):
        return ports(adapter, Retry(adapter.name, policy=policy, tell=heard.append))

    return make


async def test_it_asks_again_until_it_works_or_so_many_attempts_failed(scripted, retrying, heard):
    adapter = scripted("comfyui", DOWN, BackendTimeout("Slow.", wait="connect", seconds=5))
    assert (await retrying(adapter).synthesize(HELLO)).backend == "comfyui"
    assert [type(event.error) for event in heard] == [BackendUnavailable, BackendTimeout]
    assert [event.attempt for event in heard] == [1, 2]
    assert asyncio.get_running_loop().time() == pytest.approx(sum(event.pause for event in heard))
    heard.clear()
    adapter = scripted("comfyui", *[BackendUnavailable(f"No. {n}") for n in range(1, 6)])
    with pytest.raises(BackendUnavailable, match=r"^No\. 3$"):
        await retrying(adapter).synthesize(HELLO)
    assert len(adapter.calls) == 3
    told = [(event.attempt, event.pause is None) for event in heard]
    assert told == [(1, False), (2, False), (3, True)]


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("No."),
        OutOfMemory("No."),
        BackendUnavailable("The job may live.", retryable=False),
        JobLost("Twice.", retryable=False),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_does_not_say_retryable_is_not_asked_again(scripted, retrying, heard, error):
    adapter = scripted("comfyui", error)
    with pytest.raises(type(error)) as caught:
        await retrying(adapter).synthesize(HELLO)
    assert caught.value is error
    assert len(adapter.calls) == 1
    assert heard == []


@pytest.mark.parametrize(
    ("script", "request_", "calls", "works"),
    [
        ([RUNAWAY], HELLO, 2, True),
        ([SilentAudio("Silence.")], HELLO, 2, True),
        ([RUNAWAY] * 3, HELLO, 2, False),
        ([DOWN, RUNAWAY], HELLO, 3, True),  # a broken connection does not use the second try up
        ([RUNAWAY], SEEDED, 1, False),  # it would go wrong in the same way
        ([SilentAudio("?")], TRAINING, 1, False),
    ],
    ids=["runaway", "silence", "twice", "after an outage", "fixed seed", "training"],
)
async def test_bad_luck_is_tried_once_more_with_another_seed(
    scripted, retrying, heard, script, request_, calls, works
):
    adapter = scripted("comfyui", *script)
    layer = retrying(adapter)
    ask = layer.train if isinstance(request_, TrainingRequest) else layer.synthesize
    if works:
        assert (await ask(request_)).backend == "comfyui"
    else:
        with pytest.raises(type(script[-1])):
            await ask(request_)
    assert len(adapter.calls) == calls


async def test_retry_after_is_obeyed_unless_it_is_too_long(scripted, retrying, heard):
    adapter = scripted("comfyui", BackendOverloaded("Wait.", retry_after=5.0))
    await retrying(adapter).synthesize(HELLO)
    assert 5.0 <= heard[0].pause <= 5.0 + USUAL.initial_seconds
    assert asyncio.get_running_loop().time() == pytest.approx(heard[0].pause)
    adapter = scripted("comfyui", BackendOverloaded("Wait.", retry_after=60.0))
    with pytest.raises(BackendOverloaded) as caught:
        await retrying(adapter).synthesize(HELLO)
    assert caught.value.retry_after == 60.0
    assert len(adapter.calls) == 1


async def test_pauses_grow_up_to_a_cap_and_differ(scripted, retrying, heard):
    policy = RetryConfig(attempts=10, initial_seconds=0.5, longest_seconds=20.0)
    for _ in range(10):
        await retrying(scripted("comfyui", *[DOWN] * 9), policy).synthesize(HELLO)
    for event in heard:
        whole = min(20.0, 0.5 * 2 ** (event.attempt - 1))
        assert whole / 2 <= event.pause <= whole
    assert len({event.pause for event in heard}) > 80


async def test_a_cancelled_call_is_not_asked_again_in_the_pause_or_under_way(
    scripted, retrying, heard, until
):
    pausing, asking = scripted("comfyui", *[DOWN] * 5), scripted("comfyui")
    asking.gate = asyncio.Event()
    for adapter, told in ((pausing, 1), (asking, 0)):
        heard.clear()
        calling = asyncio.ensure_future(retrying(adapter).synthesize(HELLO))
        await until(lambda adapter=adapter, told=told: adapter.calls and len(heard) == told)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert len(adapter.calls) == 1
        assert len(heard) == told


@pytest.mark.parametrize("error", [DOWN, BackendTimeout("Late.", wait="job", seconds=1)], ids=str)
async def test_a_cancel_that_an_adapter_swallows_is_not_retried(
    scripted, retrying, heard, until, swallows, error
):
    adapter = scripted("comfyui")
    swallows(adapter, error)
    calling = asyncio.ensure_future(retrying(adapter).synthesize(HELLO))
    await until(lambda: adapter.calls)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (len(adapter.calls), heard) == (1, [])


async def test_closing_ends_a_pause_or_an_attempt_and_nothing_is_asked_after_it(
    scripted, retrying, heard, until
):
    """A client that is left would otherwise be opened again by its own retries."""
    adapter = scripted("comfyui", DOWN)
    layer = retrying(adapter)
    calling = asyncio.ensure_future(layer.synthesize(HELLO))
    await until(lambda: heard)
    await layer.aclose()
    with pytest.raises(BackendUnavailable, match="No server there"):
        await calling
    assert (len(adapter.calls), adapter.closed) == (1, 1)
    assert asyncio.get_running_loop().time() == 0.0
    assert (await layer.train(TRAINING)).backend == "comfyui"

    heard.clear()
    adapter = scripted("comfyui", DOWN, DOWN)
    adapter.gate = asyncio.Event()
    layer = retrying(adapter)
    calling = asyncio.ensure_future(layer.synthesize(HELLO))
    await until(lambda: adapter.calls)
    await layer.aclose()
    adapter.gate.set()
    with pytest.raises(BackendUnavailable):
        await calling
    assert (len(adapter.calls), heard) == (1, [])


async def test_a_stream_is_begun_again_before_its_first_chunk_only(scripted, retrying, heard):
    adapter = scripted("direct", DOWN)
    chunks = [chunk async for chunk in retrying(adapter).synthesize_stream(HELLO)]
    assert [chunk.start for chunk in chunks] == [0.0, 0.1, 0.2]
    assert len(heard.of(AttemptFailed)) == 1
    adapter = scripted("direct", DOWN)
    adapter.chunks_before_an_error = 1
    stream = retrying(adapter).synthesize_stream(HELLO)
    await anext(stream)
    with pytest.raises(BackendUnavailable):
        await anext(stream)
    assert len(heard) == 1
