"""The models that the stand-in has, the packs, and the log that it prints."""

from __future__ import annotations

import pytest

from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.speech import Audio, encode, tone

MINE = "/srv/ComfyUI/models/qwen-tts/mine"


@pytest.fixture
def server():
    with StandInComfyUI(
        instant=True,
        models=["Qwen3-TTS-12Hz-1.7B-CustomVoice"],
        checkpoints={MINE: ["emma"]},
        other_nodes=["Qwen3Loader"],
    ) as running:
        yield running


async def test_it_lists_the_models_that_it_has(server, connect):
    client = await connect(server)
    listed = (await client.http.get("/models/qwen-tts")).json()
    assert "Qwen3-TTS-12Hz-1.7B-CustomVoice/config.json" in listed
    assert "mine/config.json" in listed
    assert (await client.http.get("/models/none")).status_code == 404
    folders = (await client.http.get("/internal/folder_paths")).json()
    assert folders == {"qwen-tts": ["/srv/ComfyUI/models/qwen-tts"]}


async def test_a_model_that_it_lacks_cannot_be_loaded(server, connect, clone_graph, voice_graph):
    client = await connect(server)
    await client.upload("ref.wav", encode(Audio(tone(1.0)), "WAV"))
    error = await client.error(clone_graph())
    assert error["exception_type"] == "OSError"
    assert (await client.outcome(voice_graph()))["status"]["completed"]


async def test_it_prints_whether_it_found_a_checkpoint(server, connect, voice_graph):
    client = await connect(server)

    async def printed():
        return (await client.http.get("/internal/logs")).json()

    await client.run(voice_graph(custom_model_path=MINE, custom_speaker_name="emma"))
    assert f"Using custom model path: {MINE}" in await printed()
    for seed in (1, 2):  # a model in memory is not loaded again
        await client.run(voice_graph(custom_model_path="/none", seed=seed))
    assert (await printed()).count("Custom model path not found or invalid: /none") == 1


@pytest.mark.parametrize(
    ("pack", "has_xpu", "has_instruct"),
    [("1.0.6", False, False), ("1.0.7", True, False), ("next", True, True)],
)
async def test_newer_packs(connect, pack, has_xpu, has_instruct):
    with StandInComfyUI(instant=True, pack=pack) as server:
        client = await connect(server)
        answer = (await client.http.get("/object_info/FB_Qwen3TTSVoiceClone")).json()
    inputs = answer["FB_Qwen3TTSVoiceClone"]["input"]
    assert ("xpu" in inputs["required"]["device"][0]) is has_xpu
    assert ("instruct" in inputs["optional"]) is has_instruct


async def test_nodes_of_other_packs(server, connect):
    client = await connect(server)
    assert "Qwen3Loader" in (await client.http.get("/object_info/Qwen3Loader")).json()
