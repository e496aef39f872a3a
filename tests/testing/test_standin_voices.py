"""What the voice nodes say, with which voice, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from storycore_tts.testing.comfyui import StandInComfyUI

from .conftest import speaking_graph

TEXT = "The quick brown fox jumps over the lazy dog."


def differ(one, other):
    return len(one) != len(other) or not np.array_equal(one, other)


async def test_every_speaker_has_a_voice_and_a_seed_gives_the_same_samples_again(
    speaking, connect, voice_graph
):
    client = await connect(speaking)
    first = await client.audio(voice_graph(text=TEXT, seed=1))
    assert np.abs(first).max() > 0.05
    assert differ(first, await client.audio(voice_graph(text=TEXT, seed=1, speaker="Vivian")))
    assert differ(first, await client.audio(voice_graph(text=TEXT, seed=2)))
    assert not differ(first, await client.audio(voice_graph(text=TEXT, seed=1)))


async def test_only_the_large_model_hears_instructions(speaking, connect, voice_graph):
    client = await connect(speaking)
    audio = {
        (size, instruct): await client.audio(voice_graph(model_choice=size, instruct=instruct))
        for size in ("1.7B", "0.6B")
        for instruct in ("", "whisper slowly")
    }
    assert differ(audio["1.7B", ""], audio["1.7B", "whisper slowly"])
    assert not differ(audio["0.6B", ""], audio["0.6B", "whisper slowly"])


async def test_the_token_budget_cuts_the_audio(speaking, connect, voice_graph):
    client = await connect(speaking)
    samples = await client.audio(voice_graph(text=f"{TEXT} " * 25, max_new_tokens=512))
    assert len(samples) / 24_000 == 512 / 12.5


async def test_a_clone_depends_on_the_references_content(speaking, connect, clone_graph, wav):
    client = await connect(speaking)
    for name, hertz in (("a.wav", 220), ("same.wav", 220), ("b.wav", 330)):
        await client.upload(name, wav(hertz=hertz))
    a, same, b = [
        await client.audio(clone_graph(audio=name)) for name in ("a.wav", "same.wav", "b.wav")
    ]
    assert not differ(a, same)
    assert differ(a, b)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"target_text": ""}, "Target text is required\n"),
        ({"ref_audio": "ref.wav"}, "Unsupported reference audio format\n"),
        (
            {"x_vector_only": False},
            "Generation failed: ref_text is required when x_vector_only_mode=False (ICL mode). "
            "Bad index=0\n",
        ),
    ],
)
async def test_clones_that_fail(server, connect, clone_graph, wav, inputs, message):
    client = await connect(server)
    await client.upload("ref.wav", wav())
    error = await client.error(clone_graph(**inputs))
    assert (error["exception_type"], error["exception_message"]) == ("RuntimeError", message)


async def test_a_reference_that_is_too_short(server, connect, clone_graph, wav):
    client = await connect(server)
    await client.upload("ref.wav", wav(seconds=0.02))
    error = await client.error(clone_graph())
    assert "Padding size should be less" in error["exception_message"]
    assert error["executed"] == ["0"]
    assert error["current_inputs"]["ref_audio"][0].startswith("{'waveform': tensor([[[")


async def test_blank_text_fails_after_the_generation(server, connect, voice_graph):
    client = await connect(server)
    _, frames = await client.run(voice_graph(text="   "))
    assert [f["data"]["value"] for f in frames if f["type"] == "progress"] == [1, 2, 3]
    (error,) = [frame["data"] for frame in frames if frame["type"] == "execution_error"]
    assert error["exception_message"] == "Invalid audio data generated\n"


def design_graph(instruct):
    inputs = {"text": "Hello world", "instruct": instruct}
    return speaking_graph("VoiceDesign", "vd", inputs)


async def test_a_description_designs_a_voice(speaking, connect):
    client = await connect(speaking)
    man = await client.audio(design_graph("a calm old man"))
    woman = await client.audio(design_graph("a cheerful young woman"))
    assert differ(man, woman)


# Checkpoints ----------------------------------------------------------------------------------

CHECKPOINTS = {"/models/emma": ["Emma"], "/models/base": []}


@pytest.fixture
def tuned():
    with StandInComfyUI(checkpoints=CHECKPOINTS) as running:
        yield running


async def test_what_a_checkpoint_has_is_said_and_the_stock_voice_where_there_is_none(
    tuned, connect, voice_graph
):
    client = await connect(tuned)
    stock = await client.audio(voice_graph())
    missing = {"custom_model_path": "/models/nope"}
    assert not differ(stock, await client.audio(voice_graph(**missing)))
    error = await client.error(voice_graph(**missing, custom_speaker_name="Emma"))
    assert error["exception_type"] == "ValueError"
    assert error["exception_message"].startswith("Unsupported speakers: ['emma']. Supported: [")
    error = await client.error(voice_graph(custom_model_path="/models/emma"))
    assert error["exception_message"] == "Unsupported speakers: ['ryan']. Supported: ['emma']\n"


async def test_a_checkpoint_of_the_wrong_kind(tuned, connect, voice_graph, clone_graph, wav):
    client = await connect(tuned)
    error = await client.error(voice_graph(custom_model_path="/models/base"))
    assert "does not support generate_custom_voice" in error["exception_message"]
    await client.upload("ref.wav", wav())
    error = await client.error(clone_graph(custom_model_path="/models/emma"))
    assert "does not support generate_voice_clone" in error["exception_message"]


async def test_a_checkpoint_folder_on_disk_is_read(server, connect, voice_graph, tmp_path):
    config = {"tts_model_type": "custom_voice", "talker_config": {"spk_id": {"bea": 3000}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    client = await connect(server)
    entry = await client.outcome(
        voice_graph(custom_model_path=str(tmp_path), custom_speaker_name="Bea")
    )
    assert entry["status"]["status_str"] == "success"


# Models ---------------------------------------------------------------------------------------


async def test_one_model_is_kept_and_auto_attention_reloads_it(server, connect, voice_graph):
    client = await connect(server)
    for seed in (1, 2):
        await client.run(voice_graph(seed=seed, attention="sdpa"))
    assert server.log.model_loads == ["CustomVoice 1.7B"]
    await client.run(voice_graph(seed=3, model_choice="0.6B"))
    await client.run(voice_graph(seed=4, precision="fp32"))
    assert len(server.log.model_loads) == 3
    for seed in (5, 6):
        await client.run(voice_graph(seed=seed, attention="auto"))
    assert len(server.log.model_loads) == 5


async def test_without_a_gpu_cuda_fails(connect, voice_graph):
    with StandInComfyUI(instant=True, has_cuda=False) as server:
        client = await connect(server)
        error = await client.error(voice_graph(device="cuda"))
        assert error["exception_type"] == "AssertionError"
        assert error["exception_message"] == "Torch not compiled with CUDA enabled\n"
        entry = await client.outcome(voice_graph(device="cpu"))
        assert entry["status"]["status_str"] == "success"
        stats = (await client.http.get("/system_stats")).json()
        assert stats["devices"][0]["type"] == "cpu"
