"""An adapter that hums: a tone, the longer the text, the longer."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import numpy as np
from pydantic import Field

from storycore_tts import (
    BackendStatus,
    Capabilities,
    Progress,
    QwenTTSConfig,
    Speaker,
    Speech,
    SpeechRequest,
    Stage,
    Timings,
    UnsupportedByBackend,
)
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.voices import find_speaker
from storycore_tts.settings import AdapterSettings

SAMPLE_RATE = 24_000


class HumSettings(AdapterSettings):
    """The block ``tts.qwen.hum``."""

    pitch: Annotated[float, Field(ge=50, le=400)] = 110.0
    """Of the voice Ryan, in Hz; Serena is an octave higher."""
    tempo: Annotated[float, Field(gt=0, le=100)] = 10.0
    """Characters a second."""


class HumAdapter:
    """Hums in place of speaking; it has no seeds, clones nothing and trains nothing."""

    capabilities = Capabilities(speech=True)

    def __init__(self, settings: HumSettings) -> None:
        self._tempo = settings.tempo
        self._pitches = {"Ryan": settings.pitch, "Serena": 2 * settings.pitch}

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """Hum a line."""
        if request.checkpoint is not None:
            raise UnsupportedByBackend("A hum has no checkpoints.", backend="hum")
        speaker = find_speaker(request.speaker, self._pitches, backend="hum")
        if on_progress is not None:
            on_progress(Progress(Stage.GENERATING))
        began = time.perf_counter()
        seconds = len(request.text) / self._tempo
        samples = await asyncio.to_thread(_hum, seconds, self._pitches[speaker])
        took = time.perf_counter() - began
        timings = Timings(queued=0.0, generating=took, total=took)
        return Speech(
            samples, SAMPLE_RATE, "hum", "sine", speaker, request.language, timings=timings
        )

    async def speakers(self) -> list[Speaker]:
        """Return the voices."""
        return [Speaker(name) for name in self._pitches]

    async def status(self) -> BackendStatus:
        """Say what ``storycore-tts doctor`` shows."""
        pitch = {"pitch": f"{self._pitches['Ryan']:g} Hz"}
        return BackendStatus("hum", True, version="1.0", models=("sine",), details=pitch)

    async def aclose(self) -> None:
        """Hold nothing open."""


def _hum(seconds: float, pitch: float) -> np.ndarray:
    phase = 2 * np.pi * pitch * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(phase)).astype(np.float32)


def create(config: QwenTTSConfig) -> HumAdapter:
    """Make the adapter; the factory behind the entry point ``hum``."""
    return HumAdapter(config.block("hum", HumSettings))
