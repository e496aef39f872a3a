"""Tiny models that the real package speaks with, and a scripted engine for what needs none."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from storycore_tts import QwenTTSConfig, Sampling
from storycore_tts.adapters.direct import DirectAdapter, create
from storycore_tts.adapters.direct.engine import Take
from storycore_tts.adapters.direct.jobs import Job, Line
from storycore_tts.adapters.direct.pool import Limits, ModelKey, Pool
from storycore_tts.adapters.direct.turns import Turn
from storycore_tts.testing.tiny_models import TinyModels

KINDS = {"CustomVoice": "custom_voice", "Base": "base"}


@pytest.fixture(scope="session")
def torch(tiny_torch: Any) -> Any:
    return tiny_torch


@pytest.fixture(scope="session")
def models(tiny_models: TinyModels) -> TinyModels:
    return tiny_models


@pytest.fixture(scope="session")
def endless_models(endless_tiny_models: TinyModels) -> TinyModels:
    return endless_tiny_models


def config_for(models: TinyModels, *, direct: dict[str, Any] | None = None, **top: Any) -> Any:
    """Settings that find the tiny models; on the CPU, in fp32, so that nothing is changed."""
    places = {
        f"{size}-{name}": str(models.path(kind, size))
        for name, kind in KINDS.items()
        for size in ("0.6B", "1.7B")
    }
    return QwenTTSConfig(
        **{"device": "cpu", "precision": "fp32", **top}, direct={"models": places, **(direct or {})}
    )


@pytest.fixture
async def open_adapter() -> AsyncIterator[Callable[..., DirectAdapter]]:
    opened: list[DirectAdapter] = []

    def open_one(models: TinyModels, **settings: Any) -> DirectAdapter:
        opened.append(create(config_for(models, **settings)))
        return opened[-1]

    yield open_one
    for adapter in opened:
        await adapter.aclose()


@pytest.fixture(scope="module")
def adapter(models: TinyModels) -> Iterator[DirectAdapter]:
    """One for all tests of a file; it works on any event loop, and loads each model once."""
    adapter = create(config_for(models, direct={"max_loaded_models": 3}))
    yield adapter
    asyncio.run(adapter.aclose())


class ManualClock:
    """A pool's clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: dict[threading.Condition, float] = {}
        self._changed = threading.Condition()

    def time(self) -> float:
        return self._now

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        with self._changed:
            self._timers[condition] = self._now + (math.inf if seconds is None else seconds)
            self._changed.notify_all()
        assert condition.wait(60), "nothing woke the pool, and the clock stood still"
        with self._changed:
            del self._timers[condition]

    def advance(self, seconds: float) -> None:
        """Move the time, and wake those whose timer it passes."""
        with self._changed:
            self._now += seconds
            due = [condition for condition, at in self._timers.items() if at <= self._now]
        for condition in due:
            with condition:
                condition.notify_all()

    async def until_waited_for(self, seconds: float) -> None:
        """Wait until a pool has nothing to do for so many seconds."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(
                    lambda: self._now + seconds in self._timers.values(), 30
                )

        assert await asyncio.to_thread(wait)


class ScriptedEngine:
    """An engine that does what the test says: ``speak`` is a function of batch and seed."""

    placement = SimpleNamespace(warnings=())

    def __init__(self, speak: Callable[[list[Job], int], list[Take]]) -> None:
        self.speak = speak
        self.loaded = True

    def unload(self) -> None:
        self.loaded = False


class Gate:
    """Holds a thread where the test wants it: ``reached`` tells, ``open`` lets it go on."""

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        """In the thread."""
        self._reached.release()
        assert self._open.wait(30)

    async def reached(self) -> None:
        """Wait until a thread is there, each time for another one."""
        assert await asyncio.to_thread(self._reached.acquire, timeout=30)


class Studio:
    """Pools of scripted engines, and a record of what happened in them."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[str], int]] = []
        self.engines: dict[str, list[ScriptedEngine]] = {}
        self.most_loaded = 0
        self.loading, self.speaking = Gate(), Gate()
        self.errors: list[BaseException] = []
        self.runaways = 0
        self.pools: list[Pool] = []
        self.clock, self.turn = ManualClock(), Turn()

    def pool(self, **limits: Any) -> Pool:
        usual = {"models": 1, "idle": 60.0, "batch": 4, "window": 0.0, "keep": True}
        pool = Pool(Limits(**{**usual, **limits}), self.load, clock=self.clock, turn=self.turn)
        self.pools.append(pool)
        return pool

    def load(self, key: ModelKey) -> Any:
        name = key.checkpoint.name
        self.loading.pass_through()
        engine = ScriptedEngine(lambda batch, seed: self._speak(name, batch, seed))
        self.engines.setdefault(name, []).append(engine)
        self.most_loaded = max(self.most_loaded, self.loaded)
        return engine

    @property
    def loaded(self) -> int:
        """Models in memory."""
        return sum(e.loaded for engines in self.engines.values() for e in engines)

    def _speak(self, name: str, batch: list[Job], seed: int) -> list[Take]:
        self.batches.append((name, [job.line.text for job in batch], seed))
        self.speaking.pass_through()
        if self.errors:
            raise self.errors.pop(0)
        if self.runaways:
            self.runaways -= 1
            return [Take(np.ones(8, np.float32), 1.5, True) for _ in batch]
        return [Take(np.full(8, 0.5, np.float32), 0.5, False) for _ in batch]


@pytest.fixture
def studio() -> Iterator[Studio]:
    studio = Studio()
    yield studio
    studio.loading.open()
    studio.speaking.open()
    for pool in studio.pools:
        pool.close()


def line(text: str = "Hello.", **settings: Any) -> Line:
    drawn = settings.pop("sampling", Sampling())
    return Line(text=text, language="Auto", sampling=drawn, budget=512, **settings)


@pytest.fixture
def make_line() -> Callable[..., Line]:
    return line


@pytest.fixture
def make_config() -> Callable[..., QwenTTSConfig]:
    return config_for
