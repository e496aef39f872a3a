"""Leaving the direct adapter, at any moment and in any way; with engines that need no torch."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from storycore_tts import BackendUnavailable, QwenTTSConfig, SpeechRequest
from storycore_tts.adapters.direct import DirectAdapter
from storycore_tts.adapters.direct.checkpoints import Card
from storycore_tts.adapters.direct.engine import GeneratedAudio
from storycore_tts.adapters.direct.speech_jobs import StreamedPiece

from .conftest import until

LINE = SpeechRequest("Hello.", "Ryan")
CARD = Card(("ryan",), ("english",), True, 1)


class SlowEngine:
    """Goes on until nobody wants its lines any more, or until it may end."""

    placement = SimpleNamespace(warnings=())

    def __init__(self):
        self.may_end = threading.Event()
        self.steps = self.abandoned = self.loaded = 0

    def load(self, *_):
        self.loaded += 1
        return self

    def unload(self):
        self.loaded -= 1

    def speak(self, batch, seed):
        over = False
        while not over:
            over = self.may_end.wait(0.005)  # a step of the model
            self.steps += 1
            for job in batch:
                if job.streamed:
                    job.tell(StreamedPiece(np.full(1920, 0.5, np.float32), seed, ()))
            if all(job.cancelled for job in batch):
                self.abandoned += 1
                return []
        return [GeneratedAudio(np.full(1920, 0.5, np.float32), 0.1, False) for _ in batch]


@pytest.fixture
def engine():
    return SlowEngine()


@pytest.fixture
def adapter(engine):
    adapter = DirectAdapter(QwenTTSConfig(), load=engine.load, read=lambda _: CARD)
    yield adapter
    engine.may_end.set()
    adapter._pool.close()


async def spoken_at(adapter, engine):
    """Return a call that the engine speaks by now."""
    begun = asyncio.Event()
    hear = lambda news: begun.set() if news.fraction == 0.0 else None  # noqa: E731
    call = asyncio.ensure_future(adapter.synthesize(LINE, on_progress=hear))
    await asyncio.wait_for(begun.wait(), 30)
    return call


async def until_idle(adapter):
    await until(adapter._pool._changed, lambda: not adapter._pool._wanted())


def check_nothing_is_left(adapter, engine):
    assert adapter._pool._thread is None or not adapter._pool._thread.is_alive()
    assert not engine.loaded
    assert adapter._pool.length == 0


async def test_a_cancelled_call_ends_the_generation(adapter, engine):
    call = await spoken_at(adapter, engine)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until_idle(adapter)
    await adapter.aclose()
    assert engine.abandoned == 1
    check_nothing_is_left(adapter, engine)


async def test_closing_ends_calls_and_streams_with_a_typed_error(adapter, engine):
    call = await spoken_at(adapter, engine)
    waiting = asyncio.ensure_future(anext(adapter.synthesize_stream(LINE)))
    await asyncio.gather(adapter.aclose(), adapter.aclose())
    for left in (call, waiting, adapter.synthesize(LINE)):
        with pytest.raises(BackendUnavailable, match="closed"):
            await left
    check_nothing_is_left(adapter, engine)
    status = await adapter.status()
    assert "The direct adapter is closed." in [problem.message for problem in status.problems]


async def test_a_stream_that_is_left_or_closed_in_the_middle_ends(adapter, engine):
    async with contextlib.aclosing(adapter.synthesize_stream(LINE)) as stream:
        await anext(stream)
    await until_idle(adapter)
    stream = adapter.synthesize_stream(LINE)
    await anext(stream)
    await adapter.aclose()
    with pytest.raises(BackendUnavailable, match="closed"):
        [chunk async for chunk in stream]
    check_nothing_is_left(adapter, engine)


async def test_a_cancelled_close_can_be_repeated(adapter, engine):
    await spoken_at(adapter, engine)
    closing = asyncio.ensure_future(adapter.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await adapter.aclose()
    check_nothing_is_left(adapter, engine)


def test_the_end_of_asyncio_run_ends_calls_and_streams(adapter, engine):
    async def main():
        await spoken_at(adapter, engine)  # first: the others wait behind it
        asyncio.ensure_future(adapter.synthesize(LINE))  # noqa: RUF006 - left behind on purpose
        stream = adapter.synthesize_stream(LINE)
        asyncio.ensure_future(anext(stream))  # noqa: RUF006
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    asyncio.run(until_idle(adapter))
    engine.may_end.set()
    assert asyncio.run(adapter.synthesize(LINE)).duration > 0
    asyncio.run(adapter.aclose())
    check_nothing_is_left(adapter, engine)


async def test_a_slow_consumer_gets_all_of_a_stream(adapter, engine):
    stream = adapter.synthesize_stream(LINE)
    first = await anext(stream)
    engine.may_end.set()
    await until_idle(adapter)  # the model is free for others, though nothing more was consumed
    rest = [chunk async for chunk in stream]
    assert len(rest) + 1 == engine.steps
    assert rest[-1].start == pytest.approx(first.duration * len(rest))


@pytest.mark.parametrize("forgotten", ["a line", "a training"])
def test_a_program_that_forgets_everything_ends_at_once(forgotten):
    """Its event loop is not closed, its task not cancelled, and the work would take hours."""
    script = (
        "import asyncio, sys, time\n"
        "from storycore_tts.adapters.direct.checkpoints import Checkpoint\n"
        "from storycore_tts.adapters.direct.speech_jobs import PoolCall, SpeechJob, PreparedLine\n"
        "from storycore_tts.adapters.direct.pool import Limits, ModelKey, Pool\n"
        "from storycore_tts.domain.sampling import Sampling\n"
        "loop = asyncio.new_event_loop()\n"
        "class Engine:\n"
        "    class placement: warnings = ()\n"
        "    def speak(self, batch, seed):\n"
        "        loop.call_soon_threadsafe(loop.stop)\n"
        "        while not batch[0].cancelled: pass\n"
        "        return []\n"
        "    def unload(self): print('unloaded')\n"
        "def train():\n"
        "    loop.call_soon_threadsafe(loop.stop)\n"
        "    while not pool.closed: pass\n"
        "    print('unloaded')\n"
        "pool = Pool(Limits(1, None, 1, 0.0, True), lambda key: Engine())\n"
        "async def main():\n"
        "    if sys.argv[1] == 'a training':\n"
        "        return pool.submit_exclusive(PoolCall(), train)\n"
        "    line = PreparedLine('Hi', 'Auto', Sampling(), 99, speaker='ryan')\n"
        "    pool.submit(ModelKey(Checkpoint('x', 'custom_voice'), 1), SpeechJob(line))\n"
        "task = loop.create_task(main())\n"
        "loop.run_forever()\n"
        "sys.exit(3)\n"
    )
    command = [sys.executable, "-c", script, forgotten]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (3, "unloaded\n"), ended.stderr


async def test_a_checkpoint_is_looked_up_once_for_all_who_ask_at_the_same_time(engine):
    """On the Hub, each look would be a request; the failure of one is that of all."""
    gate, asked = threading.Event(), []

    def read(checkpoint):
        asked.append(checkpoint)
        assert gate.wait(30)
        if len(asked) == 1:
            raise BackendUnavailable("no network", backend="direct")
        return CARD

    adapter = DirectAdapter(QwenTTSConfig(), load=engine.load, read=read)
    calls = [asyncio.ensure_future(adapter.speakers()) for _ in range(20)]
    elsewhere = asyncio.ensure_future(asyncio.to_thread(asyncio.run, adapter.speakers()))
    while not asked:
        await asyncio.sleep(0)
    calls[0].cancel()  # the first to ask leaves; the others do not lose their answer
    with pytest.raises(asyncio.CancelledError):
        await calls.pop(0)
    gate.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [str(end).split("\n")[0] for end in ends] == [str(ends[0]).split("\n")[0]] * 19
    assert isinstance(ends[0], BackendUnavailable)
    await asyncio.gather(elsewhere, return_exceptions=True)
    before = len(asked)
    assert [speaker.name for speaker in await adapter.speakers()] == ["ryan"]
    assert (before, len(asked)) in ((1, 2), (2, 3))  # the other loop may have been late
