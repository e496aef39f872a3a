from __future__ import annotations

import numpy as np
import pytest

from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.domain.voices import Speaker, find_speaker
from storycore_tts.ports import BackendStatus, Capabilities


class Fake:
    """An adapter that does everything and remembers what it was asked."""

    def __init__(self):
        self.capabilities = Capabilities(speech=True, cloning=True, training=True)
        self.requests, self.closed, self.told = [], 0, []
        self.knows = []  # the speakers that there are; any, if this is empty

    async def _speech(self, request, on_progress):
        self.requests.append(request)
        for progress in self.told:
            on_progress(progress)
        return Speech(np.ones(240, np.float32), 24_000, backend="fake", model="m")

    async def synthesize(self, request, *, on_progress=None):
        if request.checkpoint is None and self.knows:
            find_speaker(request.speaker, self.knows, backend="fake")
        return await self._speech(request, on_progress)

    async def speakers(self):
        return [Speaker("Ryan")]

    async def clone(self, request, *, on_progress=None):
        return await self._speech(request, on_progress)

    async def train(self, request, *, on_progress=None):
        await self._speech(request, on_progress)
        return TrainedVoice("/out/checkpoint", "mia", 10, (), "fake")

    async def status(self):
        return BackendStatus("fake", True)

    async def aclose(self):
        self.closed += 1


@pytest.fixture
def fake():
    return Fake()


@pytest.fixture
def file(tmp_path):
    """Writes a file of settings."""
    path = tmp_path / "tts.yaml"

    def write(**settings):
        pairs = ", ".join(f"{key}: {value}" for key, value in settings.items())
        path.write_text(f"tts: {{qwen: {{{pairs}}}}}")
        return path

    return write
