"""What must hold over time: memory comes back, the loop stays free, nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import subprocess
import sys
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
async def test_an_unloaded_model_gives_its_memory_back(models, open_adapter, tmp_path):
    await open_adapter(models).synthesize(SpeechRequest("Hi.", "ryan"))  # imports stay
    large = build_tiny_models(tmp_path, hidden_size=512, layers=8)
    size = (large.path("custom_voice") / "model.safetensors").stat().st_size
    assert size > 100 * MEBIBYTE
    adapter = open_adapter(large)
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


@pytest.mark.timeout(400)
async def test_many_requests_leave_nothing_behind(models, open_adapter):
    await endure(models, open_adapter, requests=24)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_ten_thousand_requests_leave_nothing_behind(models, open_adapter):
    grown = await endure(models, open_adapter, requests=10_000)
    assert grown < 40, f"{grown:.0f} MiB more"


async def endure(models, open_adapter, *, requests, at_once=16):
    """Speak short lines of all kinds, a sixth of them cancelled; compare with the first half.

    Returns by how many MiB the second half grew; the first one's memory is no measure, for torch
    keeps what it made ready for each new shape.
    """
    adapter = open_adapter(models, direct={"max_loaded_models": 2, "clone_cache_megabytes": 0.01})
    dice = random.Random(0)
    loop, free = asyncio.get_running_loop(), asyncio.Semaphore(at_once)
    finished = cancelled = 0

    async def one(number):
        nonlocal finished, cancelled
        call = asyncio.ensure_future(any_request(adapter, dice))
        if number % 6 == 0:
            loop.call_later(dice.uniform(0, 0.5), call.cancel)
        try:
            await call
            finished += 1
        except asyncio.CancelledError:
            cancelled += 1
        finally:
            free.release()

    async def run(numbers):
        async with contextlib.AsyncExitStack() as stack:
            tasks = []
            for number in numbers:
                await free.acquire()
                tasks.append(asyncio.ensure_future(one(number)))
            stack.push_async_callback(asyncio.gather, *tasks)

    first = requests // 2
    await run(range(first))
    memory, threads, tasks = resident(), threading.active_count(), len(asyncio.all_tasks())
    await run(range(first, requests))
    assert finished + cancelled == requests
    assert cancelled > 0
    assert adapter._pool.length == 0
    assert threading.active_count() <= threads
    assert len(asyncio.all_tasks()) <= tasks
    return (resident() - memory) / MEBIBYTE


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


@pytest.mark.soak  # its short form, without torch, is in test_leaving.py
def test_a_program_that_forgets_to_close_can_end(models):
    script = (
        "import asyncio, sys\n"
        "from storycore_tts import QwenTTSConfig, SpeechRequest\n"
        "from storycore_tts.adapters.direct import create\n"
        "from storycore_tts.testing.tiny_models import install_torchaudio_placeholder\n"
        "install_torchaudio_placeholder()\n"
        "models = {'1.7B-CustomVoice': sys.argv[1]}\n"
        "config = QwenTTSConfig(device='cpu', precision='fp32', direct={'models': models})\n"
        "adapter = create(config)\n"
        "async def main():\n"
        "    spoken = asyncio.Event()\n"
        "    hear = lambda news: spoken.set() if news.message else None\n"
        "    request = SpeechRequest('The old house was empty. ' * 20, 'ryan')\n"
        "    call = asyncio.ensure_future(adapter.synthesize(request, on_progress=hear))\n"
        "    await spoken.wait()\n"
        "    sys.exit(3)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(models.path("custom_voice"))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 3, ended.stderr
