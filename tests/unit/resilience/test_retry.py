"""What is asked again, how often, and after which pause."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.adapters.resilience import Retrying
from storycore_tts.domain.errors import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    GenerationFailed,
    InvalidRequest,
    JobCancelled,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    RunawayGeneration,
    SilentAudio,
)
from storycore_tts.domain.events import AttemptFailed
from storycore_tts.domain.requests import SpeechRequest, TrainingRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.settings import RetryConfig

HELLO = SpeechRequest("Hello.", "Ryan")
SEEDED = replace(HELLO, sampling=Sampling(seed=7))
QUICK = RetryConfig(attempts=3, initial_seconds=0.002, longest_seconds=0.01)

DOWN = BackendUnavailable("Nobody there.")
RUNAWAY = RunawayGeneration("It did not stop.", partial_duration=9.0)


def retrying(adapter, heard, policy=QUICK):
    return Retrying(adapter, name=adapter.name, policy=policy, tell=heard.append)


async def test_it_asks_again_until_it_works(scripted, heard):
    adapter = scripted("comfyui", DOWN, BackendTimeout("Slow.", wait="connect", seconds=5))
    speech = await retrying(adapter, heard).synthesize(HELLO)
    assert speech.backend == "comfyui"
    assert [type(event.error) for event in heard] == [BackendUnavailable, BackendTimeout]
    assert [event.attempt for event in heard] == [1, 2]
    assert all(event.pause is not None for event in heard)


async def test_it_gives_up_after_so_many_attempts_with_the_last_error(scripted, heard):
    errors = [BackendUnavailable(f"No. {n}") for n in range(1, 6)]
    adapter = scripted("comfyui", *errors)
    with pytest.raises(BackendUnavailable, match=r"No\. 3") as caught:
        await retrying(adapter, heard).synthesize(HELLO)
    assert caught.value is errors[2]
    assert len(adapter.calls) == 3
    assert [(event.attempt, event.pause is None) for event in heard] == [
        (1, False),
        (2, False),
        (3, True),
    ]


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("No."),
        ConfigurationError("No."),
        AuthenticationFailed("No."),
        JobCancelled("No."),
        NodePackMissing("No."),
        GenerationFailed("No."),
        OutOfMemory("No."),
        BackendUnavailable("The job may live.", retryable=False),
        JobLost("Twice.", retryable=False),
        BackendTimeout("Queue.", wait="queue", seconds=1, retryable=False),
        ZeroDivisionError(),
    ],
    ids=lambda error: f"{type(error).__name__} {error}",
)
async def test_what_does_not_say_retryable_is_not_asked_again(scripted, heard, error):
    adapter = scripted("comfyui", error)
    with pytest.raises(type(error)) as caught:
        await retrying(adapter, heard).synthesize(HELLO)
    assert caught.value is error
    assert len(adapter.calls) == 1
    assert heard == []


@pytest.mark.parametrize("error", [RUNAWAY, SilentAudio("Silence.")], ids=["runaway", "silence"])
async def test_bad_luck_is_tried_once_more_with_another_seed(scripted, heard, error):
    adapter = scripted("comfyui", error)
    assert (await retrying(adapter, heard).synthesize(HELLO)).backend == "comfyui"
    adapter = scripted("comfyui", error, error, error)
    with pytest.raises(type(error)):
        await retrying(adapter, heard).synthesize(HELLO)
    assert len(adapter.calls) == 2


async def test_bad_luck_after_a_broken_connection_has_its_second_try_too(scripted, heard):
    adapter = scripted("comfyui", DOWN, RUNAWAY)
    assert (await retrying(adapter, heard).synthesize(HELLO)).backend == "comfyui"
    assert len(adapter.calls) == 3


async def test_a_fixed_seed_would_go_wrong_again(scripted, heard):
    adapter = scripted("comfyui", RUNAWAY)
    with pytest.raises(RunawayGeneration):
        await retrying(adapter, heard).synthesize(SEEDED)
    assert len(adapter.calls) == 1


async def test_a_training_is_not_done_again_because_it_went_wrong(scripted, heard):
    adapter = scripted("comfyui", SilentAudio("?"))
    with pytest.raises(SilentAudio):
        await retrying(adapter, heard).train(TrainingRequest("/data", "/out", "mia"))
    assert len(adapter.calls) == 1


async def test_retry_after_is_obeyed(scripted, heard):
    adapter = scripted("comfyui", BackendOverloaded("Wait.", retry_after=0.2))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await retrying(adapter, heard).synthesize(HELLO)
    assert loop.time() - began >= 0.2
    assert 0.2 <= heard[0].pause <= 0.2 + QUICK.initial_seconds


async def test_a_retry_after_that_is_too_long_is_the_callers_business(scripted, heard):
    adapter = scripted("comfyui", BackendOverloaded("Wait.", retry_after=60.0))
    with pytest.raises(BackendOverloaded) as caught:
        await retrying(adapter, heard).synthesize(HELLO)
    assert caught.value.retry_after == 60.0
    assert len(adapter.calls) == 1


@given(
    initial=st.floats(0.001, 100),
    longest=st.floats(0.001, 100),
    attempt=st.integers(1, 50),
)
def test_pauses_grow_up_to_a_cap_and_differ(initial, longest, attempt):
    class Outcome:
        def exception(self):
            return DOWN

    class State:
        outcome, attempt_number = Outcome(), attempt

    policy = RetryConfig(initial_seconds=initial, longest_seconds=longest)
    pause = Retrying(None, name="x", policy=policy, tell=print)._wait(State())
    whole = min(longest, initial * 2 ** (attempt - 1))
    assert whole / 2 <= pause <= whole


async def test_a_cancelled_pause_ends_at_once(scripted, heard, until):
    adapter = scripted("comfyui", *[DOWN] * 5)
    slow = RetryConfig(initial_seconds=1000.0, longest_seconds=1000.0)
    calling = asyncio.ensure_future(retrying(adapter, heard, slow).synthesize(HELLO))
    await until(lambda: heard)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert len(adapter.calls) == 1


async def test_a_cancelled_call_is_not_asked_again(scripted, heard, until):
    adapter = scripted("comfyui")
    adapter.gate = asyncio.Event()
    calling = asyncio.ensure_future(retrying(adapter, heard).synthesize(HELLO))
    await until(lambda: adapter.calls)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert len(adapter.calls) == 1
    assert heard == []


async def test_a_stream_is_begun_again(scripted, heard):
    adapter = scripted("direct", DOWN)
    chunks = [chunk async for chunk in retrying(adapter, heard).synthesize_stream(HELLO)]
    assert [chunk.start for chunk in chunks] == [0.0, 0.1, 0.2]
    assert len(heard.of(AttemptFailed)) == 1


async def test_a_stream_that_was_heard_is_not_begun_again(scripted, heard):
    adapter = scripted("direct", DOWN)
    adapter.chunks_before_an_error = 1
    stream = retrying(adapter, heard).synthesize_stream(HELLO)
    await anext(stream)
    with pytest.raises(BackendUnavailable):
        await anext(stream)
    assert heard == []
