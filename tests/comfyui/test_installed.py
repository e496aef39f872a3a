"""Models, devices and nodes that a server has or lacks, told before a job waits for them."""

from __future__ import annotations

import pytest

from storycore_tts import (
    BackendUnavailable,
    CloneRequest,
    GenerationFailed,
    InvalidRequest,
    NodePackMissing,
    Progress,
    QwenTTSConfig,
    SpeechRequest,
    Stage,
    TrainingRequest,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.comfyui import NodeError
from storycore_tts.testing.comfyui.log import Submitted

LINE = SpeechRequest("Hello.", "Ryan")
VOICE = "Qwen3-TTS-12Hz-1.7B-CustomVoice"


@pytest.fixture
async def without_models(standin_comfyui_factory):
    return standin_comfyui_factory(modern=True, instant=True, models=[f"Qwen/{VOICE}"])


async def test_a_missing_model_is_told_while_the_server_tries_to_download_it(
    without_models, make_adapter
):
    adapter, heard = make_adapter(without_models.url), []
    with pytest.raises(BackendUnavailable, match=f"{VOICE} is in the subfolder Qwen/") as caught:
        await adapter.synthesize(LINE, on_progress=heard.append)
    assert not caught.value.retryable
    assert "OSError: We couldn't connect" in caught.value.message
    assert f"hf download Qwen/{VOICE} --local-dir ComfyUI/models/qwen-tts/{VOICE}" in str(
        caught.value
    )
    loading = [progress for progress in heard if progress.stage is Stage.LOADING]
    assert all("the server is downloading it" in progress.message for progress in loading)


async def test_it_is_waited_for_once_only(without_models, make_adapter):
    adapter = make_adapter(without_models.url)
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="could not be downloaded"):
            await adapter.synthesize(LINE)
    assert len(without_models.log.submitted) == 1


async def test_a_training_names_the_model_that_it_lacks(without_models, make_adapter, tmp_path):
    adapter = make_adapter(without_models.url)
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="Base is not in models"):
            await adapter.train(TrainingRequest(str(tmp_path), str(tmp_path / "out"), "hero"))
    assert len(without_models.log.submitted) == 1


async def test_a_model_that_was_downloaded_speaks(standin_comfyui_factory, make_adapter):
    server = standin_comfyui_factory(instant=True, models=[])
    adapter = make_adapter(server.url)
    with pytest.raises(BackendUnavailable):
        await adapter.synthesize(LINE)
    server.options.models.append(VOICE)
    assert (await adapter.synthesize(LINE)).model == f"Qwen/{VOICE}"


async def test_another_failure_of_a_server_without_models_keeps_its_own_words(
    without_models, make_adapter
):
    adapter = make_adapter(without_models.url)
    for message in ("The codec is unhappy", "It still is"):
        without_models.faults.add(NodeError(message=message))
        with pytest.raises(GenerationFailed, match=message):
            await adapter.synthesize(LINE)


async def test_the_status_names_missing_models_and_where_they_belong(without_models, make_adapter):
    status = await make_adapter(without_models.url).status()
    assert status.reachable
    said = {problem.message: problem.advice for problem in status.problems}
    assert len(said) == 3
    missing = (
        f"{VOICE} is in the subfolder",
        "Qwen3-TTS-12Hz-1.7B-Base is not",
        "Qwen3-TTS-Tokenizer",
    )
    for model in missing:
        assert any(model in message for message in said)
    assert all("ComfyUI/models/qwen-tts/" in advice for advice in said.values())


async def test_models_are_asked_for_once(server, adapter):
    for text in ("One.", "Two."):
        await adapter.synthesize(SpeechRequest(text, "Ryan"))
    assert server.log.http_count("/models/qwen-tts") == 1


# Devices


async def test_a_server_without_cuda_is_sent_auto_and_says_so(
    standin_comfyui_factory, make_adapter, reference
):
    server = standin_comfyui_factory(modern=True, instant=True, has_cuda=False)
    adapter = make_adapter(server.url)
    spoken = await adapter.synthesize(LINE)
    cloned = await adapter.clone(CloneRequest("Hello.", reference, x_vector_only=True))
    for speech in (spoken, cloned):
        assert "the ComfyUI server has no cuda, only cpu" in speech.warnings[0]
    status = await adapter.status()
    assert "auto instead of cuda" in status.details["device sent"]


async def test_a_gpu_is_chosen_by_the_server_and_that_is_said(server):
    adapter = ComfyUIAdapter(QwenTTSConfig(comfyui_url=server.url, device="cuda:1"))
    speech = await adapter.synthesize(LINE)
    await adapter.aclose()
    [graph] = [record.graph for record in server.log.of(Submitted)]
    assert graph["voice"]["inputs"]["device"] == "cuda"
    assert "using cuda instead of cuda:1" in speech.warnings[0]


@pytest.mark.parametrize(("pack", "taken"), [("1.0.6", False), ("1.0.7", True)])
async def test_xpu_where_the_node_offers_it(standin_comfyui_factory, pack, taken):
    server = standin_comfyui_factory(
        modern=True, instant=True, pack=pack, has_cuda=False, other_device="xpu"
    )
    adapter = ComfyUIAdapter(QwenTTSConfig(comfyui_url=server.url, device="xpu"))
    if taken:
        assert (await adapter.synthesize(LINE)).warnings == ()
    else:
        with pytest.raises(InvalidRequest, match="It takes: auto, cuda, mps, cpu"):
            await adapter.synthesize(LINE)
    await adapter.aclose()


# Versions


async def test_transformers_of_another_version_are_named(server, adapter):
    said = "'Qwen3TTSTalkerConfig' object has no attribute 'pad_token_id'"
    server.faults.add(NodeError(exception_type="AttributeError", message=said))
    with pytest.raises(Exception, match="pip install transformers"):
        await adapter.synthesize(LINE)


@pytest.mark.parametrize(("pack", "heard"), [("1.0.7", False), ("next", True)])
async def test_a_clone_is_told_how_to_speak_where_the_node_listens(
    standin_comfyui_factory, make_adapter, reference, pack, heard
):
    server = standin_comfyui_factory(modern=True, instant=True, pack=pack)
    request = CloneRequest("Hello.", reference, x_vector_only=True, instruct="Whisper.")
    speech = await make_adapter(server.url).clone(request)
    [graph] = [record.graph for record in server.log.of(Submitted)]
    assert (graph["voice"]["inputs"].get("instruct") == "Whisper.") is heard
    assert any("clones ignore instruct" in said for said in speech.warnings) is not heard


@pytest.mark.parametrize(
    ("node", "pack"),
    [("Qwen3TTSEngineNode", "TTS-Audio-Suite"), ("Qwen3Loader", "ComfyUI-Qwen3-TTS")],
)
async def test_another_node_pack_is_known_by_its_name(
    standin_comfyui_factory, make_adapter, node, pack
):
    server = standin_comfyui_factory(modern=True, instant=True, node_pack=False, other_nodes=[node])
    adapter = make_adapter(server.url)
    with pytest.raises(NodePackMissing, match=f"It has {pack}"):
        await adapter.synthesize(LINE)
    status = await adapter.status()
    assert pack in status.problems[0].message


# Progress


@pytest.mark.parametrize("modern", [False, True])
async def test_a_model_in_use_is_not_loading(
    standin_comfyui_factory, make_adapter, reference, modern
):
    server = standin_comfyui_factory(modern=modern, instant=True)
    adapter = make_adapter(server.url)

    async def stages(request) -> set[Stage]:
        heard: list[Progress] = []
        ask = adapter.clone if isinstance(request, CloneRequest) else adapter.synthesize
        await ask(request, on_progress=heard.append)
        return {progress.stage for progress in heard}

    clone = CloneRequest("Hello.", reference, x_vector_only=True)
    assert Stage.LOADING in await stages(LINE)
    second = await stages(SpeechRequest("Again.", "Serena"))
    assert Stage.LOADING not in second
    assert Stage.GENERATING in second
    assert Stage.LOADING in await stages(clone)
    assert Stage.LOADING in await stages(SpeechRequest("And again.", "Ryan"))
