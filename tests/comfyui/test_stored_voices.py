"""The plan's client knows stored voices by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts import (
    InvalidRequest,
    QwenTTSComfyUIClient,
    QwenTTSConfig,
    ReferenceAudio,
    StoredVoice,
)
from storycore_tts.errors import InvalidReferenceAudio
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.log import Submitted

TONE = (0.3 * np.sin(np.arange(96_000) / 20)).astype(np.float32)
WORDS = "The lamp lit the whole bay, and then it was dark."
CLONE = "FB_Qwen3TTSVoiceClone"


@pytest.fixture
def server(standin_comfyui_factory: Callable[..., StandInComfyUI]) -> StandInComfyUI:
    return standin_comfyui_factory(instant=True, checkpoints={"/srv/tom": ["tom_v2"]})


@pytest.fixture
async def client(
    server: StandInComfyUI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[QwenTTSComfyUIClient]:
    monkeypatch.chdir(tmp_path)
    config = QwenTTSConfig(comfyui_url=server.url, voices_dir="voices")
    async with QwenTTSComfyUIClient(config) as client:
        reference = ReferenceAudio(TONE, 24_000, WORDS)
        client.voices.add(StoredVoice("Mia", "Mia", reference, language="en"))
        client.voices.add(StoredVoice("Tom", checkpoint="/srv/tom", speaker="tom_v2"))
        yield client


def sent(server: StandInComfyUI) -> dict:
    graph = server.log.of(Submitted)[-1].graph
    return next(n["inputs"] for n in graph.values() if n["class_type"] == CLONE)


async def test_a_recording_speaks_by_name(server: StandInComfyUI, client: QwenTTSComfyUIClient):
    result = await client.generate_voice("Good evening.", "mia", seed=7)
    assert result.audio_path.exists()
    assert (result.seed, result.x_vector_only) == (7, False)
    told = sent(server)
    assert (told["ref_text"], told["language"]) == (WORDS, "English")


async def test_a_checkpoint_speaks_by_name(client: QwenTTSComfyUIClient):
    result = await client.generate_voice("Good evening.", speaker="Tom")
    assert result.speech.model == "/srv/tom"


async def test_a_clone_takes_no_instruct(client: QwenTTSComfyUIClient):
    with pytest.raises(InvalidRequest, match="takes no instruct"):
        await client.generate_voice("Good evening.", "Mia", instruct="Warm.")


async def test_a_name_stands_for_the_recording(
    server: StandInComfyUI, client: QwenTTSComfyUIClient
):
    await client.clone_voice("MIA", "Good evening.")
    assert (sent(server)["ref_text"], sent(server)["language"]) == (WORDS, "English")
    await client.clone_voice("Mia", "Guten Abend.", ref_text="Other words.", language="de")
    assert (sent(server)["ref_text"], sent(server)["language"]) == ("Other words.", "German")
    assert (await client.clone_voice("Mia", "Hm.", x_vector_only=True)).x_vector_only


async def test_a_file_is_meant_where_there_is_one(
    server: StandInComfyUI, client: QwenTTSComfyUIClient, tmp_path: Path
):
    soundfile.write(tmp_path / "Mia", TONE, 24_000, format="WAV")
    await client.clone_voice("Mia", "Good evening.", ref_text="In the file.")
    assert (sent(server)["ref_text"], sent(server)["language"]) == ("In the file.", "Auto")


async def test_a_checkpoint_is_no_recording(client: QwenTTSComfyUIClient):
    with pytest.raises(InvalidRequest, match="'Tom' is a fine-tuned checkpoint"):
        await client.clone_voice("Tom", "Good evening.")


@pytest.mark.parametrize("name", ["none.wav", "../none.wav", "Mai", "a\0b", ""])
async def test_what_is_neither_is_a_file_that_is_missing(client: QwenTTSComfyUIClient, name: str):
    with pytest.raises(InvalidReferenceAudio):
        await client.clone_voice(name, "Good evening.")
