"""An adapter that promises little keeps the contract: one whose speech is never the same twice."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from storycore_tts import Progress, Speaker, Speech, Stage, Timings
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.voices import find_speaker
from storycore_tts.ports import BackendStatus, Capabilities, SpeechChunk
from storycore_tts.testing.contract import AdapterContract


class Noise:
    """Speaks in noise, whole, in pieces and as a clone."""

    capabilities = Capabilities(speech=True, cloning=True, streaming=True)

    async def synthesize(self, request, *, on_progress=None):
        speaker = find_speaker(request.speaker, ["Ryan"], backend="noise")
        return await self._spoken(request.text, speaker, on_progress)

    async def clone(self, request: CloneRequest, *, on_progress=None):
        x_vector_only = request.reference.transcript is None
        warnings = ("x-vector only",) if x_vector_only else ()
        return await self._spoken(
            request.text, "clone", on_progress, x_vector_only=x_vector_only, warnings=warnings
        )

    async def synthesize_stream(self, request: SpeechRequest, *, on_progress=None):
        start = 0.0
        for piece in np.array_split(self._noise(request.text), 3):
            yield SpeechChunk(piece, 24_000, start, None, "noise")
            start += len(piece) / 24_000

    async def speakers(self):
        return [Speaker("Ryan")]

    async def status(self):
        return BackendStatus("noise", True, version="1", models=("white",))

    async def aclose(self):
        pass

    async def _spoken(self, text, speaker, on_progress, **more):
        if on_progress is not None:
            on_progress(Progress(Stage.GENERATING))
        began = time.perf_counter()
        samples = await asyncio.to_thread(self._noise, text)
        timings = Timings(0.0, time.perf_counter() - began, time.perf_counter() - began)
        return Speech(samples, 24_000, "noise", "white", speaker, timings=timings, **more)

    def _noise(self, text):
        samples = np.random.default_rng().uniform(-0.3, 0.3, 2400 * len(text))
        return samples.astype(np.float32)


class TestNoise(AdapterContract):
    @pytest.fixture
    async def adapter(self) -> Noise:
        return Noise()
