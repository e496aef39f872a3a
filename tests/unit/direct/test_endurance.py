"""What must hold over time: memory comes back, the loop stays free, nothing is left behind."""

import asyncio
import contextlib
import dataclasses
import random
import threading
import weakref

import psutil
import pytest

from storycore_tts import CloneRequest, Sampling, SpeechRequest
from storycore_tts.adapters.direct.engine import give_back_memory
from storycore_tts.testing.contract import tone_reference
from storycore_tts.testing.tiny_models import build_tiny_models

REFERENCES = [
    dataclasses.replace(tone_reference(pitch, seconds=1.0), transcript="Oh, a tone.")
    for pitch in (200.0, 240.0, 280.0)
]
MEBIBYTE = 2**20


def resident():
    """Return the memory that this process occupies, in bytes."""
    give_back_memory()
    return psutil.Process().memory_info().rss


@pytest.mark.soak
async def test_an_unloaded_model_gives_its_memory_back(open_adapter, tmp_path):
    await open_adapter().synthesize(SpeechRequest("Hi.", "ryan"))  # imports stay
    large = build_tiny_models(tmp_path, hidden_size=512, layers=8)
    size = (large.path("custom_voice") / "model.safetensors").stat().st_size
    assert size > 100 * MEBIBYTE
    adapter = open_adapter({"1.7B-CustomVoice": str(large.path("custom_voice"))})
    before = resident()
    await adapter.synthesize(SpeechRequest("Hi.", "ryan"))
    (loaded_model,) = adapter._pool._loaded_models()
    model = weakref.ref(loaded_model.engine._model.model)
    del loaded_model
    loaded = resident()
    await adapter.aclose()
    assert model() is None
    returned = loaded - resident()
    assert loaded - before > 0.8 * size
    assert returned > 0.8 * (loaded - before)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("requests", [24, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_many_requests_leave_nothing_behind(open_adapter, requests):
    """Short lines of all kinds, a sixth of them cancelled; compared with the first half.

    How much memory the first half takes is no measure: torch keeps what it made ready for each new
    shape.
    """
    adapter = open_adapter(direct={"max_loaded_models": 2, "clone_cache_megabytes": 0.01})
    dice, free = random.Random(0), asyncio.Semaphore(16)
    loop, ends = asyncio.get_running_loop(), []

    async def one(number):
        async with free:
            call = asyncio.ensure_future(any_request(adapter, dice))
            if number % 6 == 0:
                loop.call_later(dice.uniform(0, 0.5), call.cancel)
            await asyncio.wait([call])
            ends.append("cancelled" if call.cancelled() else call.result())

    half = requests // 2
    await asyncio.gather(*map(one, range(half)))
    memory, threads, tasks = resident(), threading.active_count(), len(asyncio.all_tasks())
    await asyncio.gather(*map(one, range(half)))
    assert len(ends) == requests
    assert "cancelled" in ends
    assert adapter._pool.length == 0
    assert threading.active_count() <= threads
    assert len(asyncio.all_tasks()) <= tasks
    if requests == 10_000:
        assert resident() - memory < 40 * MEBIBYTE


async def any_request(adapter, dice):
    sampling = Sampling(seed=dice.choice([None, None, None, dice.randrange(2**64)]))
    text, reference = dice.choice(["Hi.", "Yes.", "No, no."]), dice.choice(REFERENCES)
    kind = dice.randrange(8)
    if kind == 0:
        async with contextlib.aclosing(
            adapter.synthesize_stream(SpeechRequest(text, "ryan", sampling=sampling))
        ) as stream:
            async for _ in stream:
                pass
    elif kind < 3:
        request = CloneRequest(text, reference, x_vector_only=kind == 1, sampling=sampling)
        await adapter.clone(request)
    else:
        speaker = dice.choice(["ryan", "vivian", "eric"])
        await adapter.synthesize(SpeechRequest(text, speaker, sampling=sampling))
