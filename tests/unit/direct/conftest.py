"""Tiny models that the real package speaks with, and a scripted engine for what needs none."""

from __future__ import annotations

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
from storycore_tts.testing.tiny_models import (
    TinyModels,
    build_tiny_models,
    install_torchaudio_placeholder,
)

KINDS = {"CustomVoice": "custom_voice", "Base": "base"}


@pytest.fixture(scope="session")
def torch() -> Any:
    """The real thing, with one thread: the models are too small for more."""
    torch = pytest.importorskip("torch", reason="needs pip install 'storycore-tts[direct]'")
    install_torchaudio_placeholder()
    pytest.importorskip("qwen_tts", reason="needs pip install 'storycore-tts[direct]'")
    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="session")
def models(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return build_tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def endless_models(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Models that never say "end"."""
    return build_tiny_models(tmp_path_factory.mktemp("endless"), ends=False)


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


class ScriptedEngine:
    """An engine that does what the test says: ``speak`` is a function of batch and seed."""

    placement = SimpleNamespace(warnings=())

    def __init__(self, speak: Callable[[list[Job], int], list[Take]]) -> None:
        self.speak = speak
        self.loaded = True

    def unload(self) -> None:
        self.loaded = False


class Studio:
    """A pool of scripted engines, and a record of what happened in it."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[str], int]] = []
        self.engines: dict[str, list[ScriptedEngine]] = {}
        self.most_loaded = 0
        self.gate = threading.Event()  # generations wait for it
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.errors: list[BaseException] = []
        self.runaways = 0
        self.pools: list[Pool] = []

    def pool(self, **limits: Any) -> Pool:
        usual = {"models": 1, "idle": 60.0, "batch": 4, "window": 0.0, "keep": True}
        self.pools.append(Pool(Limits(**{**usual, **limits}), self._load))
        return self.pools[-1]

    def _load(self, key: ModelKey) -> Any:
        name = key.checkpoint.name
        engine = ScriptedEngine(lambda batch, seed: self._speak(name, batch, seed))
        self.engines.setdefault(name, []).append(engine)
        loaded = [e for engines in self.engines.values() for e in engines if e.loaded]
        self.most_loaded = max(self.most_loaded, len(loaded))
        return engine

    def _speak(self, name: str, batch: list[Job], seed: int) -> list[Take]:
        self.batches.append((name, [job.line.text for job in batch], seed))
        self.begun.release()
        assert self.gate.wait(30)
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
    studio.gate.set()
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
