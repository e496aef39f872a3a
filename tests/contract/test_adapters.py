"""The same contract for every adapter: comfyui on the stand-in, comfyui on a real server, draft."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts import QwenTTSConfig, TrainingRequest
from storycore_tts.container import make_adapter
from storycore_tts.ports import Adapter
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.contract import AdapterContract

LIVE_URL = os.environ.get("STORYCORE_TTS_LIVE_COMFYUI_URL")


async def opened(name: str, config: QwenTTSConfig) -> AsyncIterator[Adapter]:
    adapter = make_adapter(name, config)
    yield adapter
    await adapter.aclose()


def dataset(folder: Path) -> Path:
    """Write four recordings with their words, as the training node reads them."""
    folder.mkdir()
    for number in range(4):
        tone = 0.3 * np.sin(np.arange(48_000) * 2 * np.pi * (200 + 20 * number) / 24_000)
        soundfile.write(folder / f"{number}.wav", tone, 24_000)
        (folder / f"{number}.txt").write_text(f"Recording number {number}.", encoding="utf-8")
    return folder


class TestDraft(AdapterContract):
    @pytest.fixture
    async def adapter(self) -> AsyncIterator[Adapter]:
        async for adapter in opened("draft", QwenTTSConfig(backend="draft")):
            yield adapter


class TestComfyUIOnTheStandIn(AdapterContract):
    @pytest.fixture(params=[False, True], ids=["0.3.64", "modern"])
    def server(self, request: pytest.FixtureRequest) -> Iterator[StandInComfyUI]:
        with StandInComfyUI(modern=request.param) as server:
            yield server

    @pytest.fixture
    async def adapter(self, server: StandInComfyUI) -> AsyncIterator[Adapter]:
        async for adapter in opened("comfyui", QwenTTSConfig(comfyui_url=server.url)):
            yield adapter

    @pytest.fixture
    def training(self, tmp_path: Path) -> TrainingRequest:
        recordings = dataset(tmp_path / "recordings")
        return TrainingRequest(str(recordings), str(tmp_path / "out"), "贞贞 Hero", num_epochs=3)


if LIVE_URL is None:

    @pytest.mark.live
    def test_comfyui_on_a_real_server() -> None:
        pytest.skip("set STORYCORE_TTS_LIVE_COMFYUI_URL to a ComfyUI with ComfyUI-Qwen-TTS")

else:

    @pytest.mark.live
    class TestComfyUIOnARealServer(AdapterContract):
        @pytest.fixture
        async def adapter(self) -> AsyncIterator[Adapter]:
            config = QwenTTSConfig(comfyui_url=LIVE_URL, device="auto")
            async for adapter in opened("comfyui", config):
                yield adapter
