"""Adapters on tiny models, and pools of scripted engines for what needs none."""

from __future__ import annotations

import asyncio
import math
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from storycore_tts import QwenTTSConfig, Sampling
from storycore_tts.adapters.direct import create
from storycore_tts.adapters.direct.checkpoints import Checkpoint
from storycore_tts.adapters.direct.engine import GeneratedAudio
from storycore_tts.adapters.direct.pool import Limits, ModelKey, Pool
from storycore_tts.adapters.direct.speech_jobs import PreparedLine, SpeechJob
from storycore_tts.adapters.direct.turns import Turn


def opened(models, *, direct=None, **top):
    """Open an adapter on these models; on the CPU, in fp32, so that nothing is changed."""
    settings = {"device": "cpu", "precision": "fp32", **top}
    return create(QwenTTSConfig(**settings, direct={"models": models, **(direct or {})}))


@pytest.fixture
async def open_adapter(tiny_places):
    adapters = []

    def open_one(models=tiny_places, **settings):
        adapters.append(opened(models, **settings))
        return adapters[-1]

    yield open_one
    for adapter in adapters:
        await adapter.aclose()


@pytest.fixture(scope="module")
def adapter(tiny_places):
    """One for all tests of a file; it works on any event loop, and loads each model once."""
    adapter = opened(tiny_places, direct={"max_loaded_models": 3})
    yield adapter
    asyncio.run(adapter.aclose())


class ManualClock:
    """A pool's clock that stands still until the test moves it."""

    def __init__(self):
        self._now = 0.0
        self._timers = {}
        self._changed = threading.Condition()

    def time(self):
        return self._now

    def wait(self, condition, seconds):
        with self._changed:
            self._timers[condition] = self._now + (math.inf if seconds is None else seconds)
            self._changed.notify_all()
        assert condition.wait(60), "nothing woke the pool, and the clock stood still"
        with self._changed:
            del self._timers[condition]

    def advance(self, seconds):
        """Move the time, and wake those whose timer it passes."""
        with self._changed:
            self._now += seconds
            due = [condition for condition, at in self._timers.items() if at <= self._now]
        for condition in due:
            with condition:
                condition.notify_all()

    async def until_waited_for(self, seconds):
        """Wait until a pool has nothing to do for so many seconds."""
        await until(self._changed, lambda: self._now + seconds in self._timers.values())


async def until(condition, true):
    """Wait, beside the event loop, until something guarded by a condition is true."""

    def wait():
        with condition:
            return condition.wait_for(true, 30)

    assert await asyncio.to_thread(wait)


class Gate:
    """Holds a thread where the test wants it: ``reached`` tells, ``open`` lets it go on."""

    def __init__(self):
        self._reached = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()
        self.close, self.open = self._open.clear, self._open.set

    def pass_through(self):
        """In the thread."""
        self._reached.release()
        assert self._open.wait(30)

    async def reached(self):
        """Wait until a thread is there, each time for another one."""
        assert await asyncio.to_thread(self._reached.acquire, timeout=30)


class SpeechService:
    """Pools of scripted engines, and a record of what happened in them."""

    def __init__(self):
        self.batches = []  # (model's name, texts, seed)
        self.engines = {}
        self.most_loaded = self.runaways = 0
        self.errors = []
        self.loading, self.speaking = Gate(), Gate()
        self.pools = []
        self.clock, self.turn = ManualClock(), Turn()

    def pool(self, **limits):
        usual = {"models": 1, "idle": 60.0, "batch": 4, "window": 0.0, "keep": True}
        pool = Pool(Limits(**{**usual, **limits}), self._load, clock=self.clock, turn=self.turn)
        self.pools.append(pool)
        return pool

    def submit(self, text="Hello.", name="a", version=1, pool=None, **settings):
        """Let a line wait for a model, in the pool that was made last."""
        job = SpeechJob(line(text, **settings))
        key = ModelKey(Checkpoint(name, "custom_voice"), version)
        (pool or self.pools[-1]).submit(key, job)
        return job

    async def say(self, *text_and_name, **settings):
        return await outcome(self.submit(*text_and_name, **settings))

    async def speaking_one(self, *text_and_name, **settings):
        """Return a line that is being spoken, until ``speaking`` is opened."""
        self.speaking.close()
        job = self.submit(*text_and_name, **settings)
        await self.speaking.reached()
        return job

    async def until_wanted(self):
        """Wait until a thread waits for the turn that another one has."""
        await until(self.turn._changed, self.turn.is_wanted)

    @property
    def loaded(self):
        """Models in memory."""
        return sum(engine.loaded for engines in self.engines.values() for engine in engines)

    @property
    def spoken(self):
        return [texts for _, texts, _ in self.batches]

    @property
    def used(self):
        """The models, in the order in which they spoke."""
        return [name for name, _, _ in self.batches]

    def _load(self, key):
        name = key.checkpoint.name
        self.loading.pass_through()
        engine = SimpleNamespace(loaded=True, placement=SimpleNamespace(warnings=()))
        engine.speak = lambda batch, seed: self._speak(name, batch, seed)
        engine.unload = lambda: setattr(engine, "loaded", False)
        self.engines.setdefault(name, []).append(engine)
        self.most_loaded = max(self.most_loaded, self.loaded)
        return engine

    def _speak(self, name, batch, seed):
        self.batches.append((name, [job.line.text for job in batch], seed))
        self.speaking.pass_through()
        if self.errors:
            raise self.errors.pop(0)
        if self.runaways:
            self.runaways -= 1
            return [GeneratedAudio(np.ones(8, np.float32), 1.5, True) for _ in batch]
        return [GeneratedAudio(np.full(8, 0.5, np.float32), 0.5, False) for _ in batch]


@pytest.fixture
def workshop():
    workshop = SpeechService()
    yield workshop
    workshop.loading.open()
    workshop.speaking.open()
    for pool in workshop.pools:
        pool.close()


def line(text="Hello.", **settings):
    return PreparedLine(
        **{"language": "Auto", "sampling": Sampling(), "budget": 512, **settings}, text=text
    )


async def outcome(job):
    async def listen():
        while await job.heard():
            pass

    await asyncio.wait_for(listen(), 30)
    return job.result()
