"""The same contract for every adapter: draft, comfyui on the stand-in and on a real server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storycore_tts import QwenTTSConfig, TrainingRequest
from storycore_tts.container import Container, make_adapter
from storycore_tts.ports import Adapter
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.contract import AdapterContract, tone_dataset

LIVE_URL = os.environ.get("STORYCORE_TTS_LIVE_COMFYUI_URL")


async def opened(name: str, config: QwenTTSConfig) -> AsyncIterator[Adapter]:
    adapter = make_adapter(name, config)
    yield adapter
    await adapter.aclose()


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
        recordings = tone_dataset(tmp_path / "recordings")
        return TrainingRequest(str(recordings), str(tmp_path / "out"), "贞贞 Hero", num_epochs=3)


class TestThroughThePipeline(AdapterContract):
    """Retries, a breaker, a fallback and the rest change nothing while all is well."""

    @pytest.fixture
    async def adapter(self, standin_comfyui: StandInComfyUI) -> AsyncIterator[Adapter]:
        adapter = Container(config=QwenTTSConfig(comfyui_url=standin_comfyui.url)).service()
        yield adapter
        await adapter.aclose()

    @pytest.fixture
    def training(self, tmp_path: Path) -> TrainingRequest:
        recordings = tone_dataset(tmp_path / "recordings")
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
