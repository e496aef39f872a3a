"""The contract for the direct adapter: on tiny models, and on real weights where there are some."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storycore_tts import QwenTTSConfig, TrainingRequest
from storycore_tts.adapters.direct import DirectAdapter, create
from storycore_tts.container import Container
from storycore_tts.ports import Adapter
from storycore_tts.testing.contract import AdapterContract, tone_dataset

LIVE_FOLDER = os.environ.get("STORYCORE_TTS_LIVE_MODEL_DIR")


def models_in(folder: Path) -> dict[str, str]:
    """Return the checkpoints of a folder whose subfolders are named like the repositories."""
    sizes = ("1.7B-CustomVoice", "1.7B-Base", "0.6B-CustomVoice", "0.6B-Base")
    places = {size: folder / f"Qwen3-TTS-12Hz-{size}" for size in sizes}
    return {size: str(place) for size, place in places.items() if place.is_dir()}


def config(models: dict[str, str], **settings: Any) -> QwenTTSConfig:
    fixed = {"device": "cpu", "precision": "fp32", "direct": {"models": models}}
    return QwenTTSConfig(**{**fixed, **settings})


@pytest.mark.timeout(400)  # some speak minutes of audio, on whatever CPU there is
class TestDirect(AdapterContract):
    @pytest.fixture
    async def adapter(self, tiny_places: dict[str, str]) -> AsyncIterator[DirectAdapter]:
        adapter = create(config(tiny_places))
        yield adapter
        await adapter.aclose()

    @pytest.fixture
    def training(self, tmp_path: Path) -> TrainingRequest:
        recordings = tone_dataset(tmp_path / "recordings")
        return TrainingRequest(
            str(recordings),
            str(tmp_path / "out"),
            "Hero",
            num_epochs=3,
            learning_rate=5e-4,  # higher ones make these models forget when to end
            gradient_accumulation_steps=1,
        )


@pytest.mark.timeout(400)
class TestWhileComfyUIIsDown(TestDirect):
    """Whoever asks for ComfyUI gets all of direct's work."""

    # The slow ones are about the model, and the same whichever backend was asked first.
    test_concurrent_calls_get_their_own_audio = None
    test_longer_texts_take_longer = None
    test_it_lists_speakers_and_speaks_with_each = None
    test_a_seed_repeats_the_audio = None
    test_a_fresh_seed_is_recorded = None
    test_the_event_loop_stays_free = None
    test_text_of_any_script_is_spoken = None
    test_a_trained_voice_speaks_under_its_name = None
    test_a_seed_repeats_a_clone = None
    test_a_clone_uses_the_transcript = None
    test_a_stream_is_the_whole_in_pieces = None

    @pytest.fixture
    async def adapter(self, tiny_places: dict[str, str]) -> AsyncIterator[Adapter]:
        with socket.socket() as nobody:  # bound, and not listening: refused at once
            nobody.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            down = config(tiny_places, comfyui_url=url, breaker={"failures": 1})
            adapter = Container(config=down).service()
            yield adapter
            await adapter.aclose()

    async def test_its_status_says_that_it_is_reachable(self, adapter: Adapter) -> None:
        status = await adapter.status()
        assert (status.backend, status.reachable) == ("comfyui", False)
        assert status.details["fallback"] == "direct"


if LIVE_FOLDER is None:

    @pytest.mark.live
    def test_direct_on_real_weights() -> None:
        pytest.skip("set STORYCORE_TTS_LIVE_MODEL_DIR to a folder with Qwen3-TTS-12Hz-… in it")

else:

    @pytest.mark.live
    class TestDirectOnRealWeights(AdapterContract):
        @pytest.fixture
        async def adapter(self) -> AsyncIterator[DirectAdapter]:
            found = models_in(Path(LIVE_FOLDER))
            adapter = create(config(found, device="auto", precision="bf16"))
            yield adapter
            await adapter.aclose()
