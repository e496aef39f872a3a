"""A port that this package does not know passes the whole pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytest

from storycore_tts.domain.events import AttemptFailed, FellBack, RequestFinished
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import BackendUnavailable, SilentAudio
from storycore_tts.pipeline.breaker import Breaker
from storycore_tts.pipeline.calls import Call, Dispatcher, Pipeline
from storycore_tts.pipeline.fallback import Fallback
from storycore_tts.pipeline.observing import Observer
from storycore_tts.pipeline.retry import Retry
from storycore_tts.pipeline.rollout import Rollout
from storycore_tts.pipeline.switching import Switching
from storycore_tts.ports.operations import Operation
from storycore_tts.settings import BreakerConfig, RetryConfig

pytestmark = pytest.mark.virtual_clock


@dataclass(frozen=True)
class Capable:
    speech: bool = False
    cloning: bool = False
    training: bool = False
    checkpoints: bool = False
    instruct: bool = False
    seeds: bool = False
    streaming: bool = False
    parameters: frozenset[str] | None = None
    design: bool = True


@dataclass(frozen=True)
class DesignRequest:
    description: str
    sampling: Sampling = field(default_factory=Sampling)
    project: str = ""


@runtime_checkable
class VoiceDesigner(Protocol):
    async def design(self, request: DesignRequest, *, on_progress: Any = None) -> Speech: ...


DESIGN = Operation("design", VoiceDesigner, "design", "design voices")


class Designer:
    capabilities = Capable()

    def __init__(self, name, *script):
        self.name, self.script = name, list(script)

    async def design(self, request, *, on_progress=None):
        if self.script and isinstance(self.script[0], Exception):
            raise self.script.pop(0)
        level = self.script.pop(0) if self.script else 0.5
        samples = np.full(24_000, level, np.float32)
        return Speech(samples, 24_000, self.name, "m", speaker=request.description)

    async def status(self):
        raise NotImplementedError

    async def aclose(self):
        pass


async def test_it_is_retried_falls_back_and_is_told_of(heard):
    down = Designer("comfyui", *[BackendUnavailable("No server.")] * 9)
    spare = Designer("direct", 0.0)
    tell = heard.append

    def retry(name):
        return Retry(name, policy=RetryConfig(attempts=2), tell=tell)

    def other():
        return Pipeline(Dispatcher(spare, "direct"), retry("direct"))

    backend = Pipeline(
        Dispatcher(down, "comfyui"),
        Fallback("comfyui", {"direct": other}, tell=tell),
        retry("comfyui"),
        Breaker("comfyui", probe=down.status, policy=BreakerConfig(failures=9), tell=tell),
    )
    sides = {"new": backend, "new_name": "comfyui", "old": other(), "old_name": "direct"}
    rollout = Rollout(**sides, share=1.0, by="project", tell=tell)
    observer = Observer(backend=lambda: "comfyui", tell=tell)
    pipeline = Pipeline(Switching(rollout), observer)

    speech = await pipeline.send(Call(DESIGN, DesignRequest("a deep voice")))
    assert (speech.backend, speech.speaker) == ("direct", "a deep voice")
    assert "direct was used because comfyui was unavailable" in speech.warnings[0]
    tries = [(event.backend, type(event.error)) for event in heard.of(AttemptFailed)]
    assert tries == [*[("comfyui", BackendUnavailable)] * 2, ("direct", SilentAudio)]
    assert len(heard.of(FellBack)) == 1
    (finished,) = heard.of(RequestFinished)
    assert (finished.operation, finished.backend) == ("design", "direct")
    await pipeline.aclose()
