"""The engine's ``QwenTTSService``: results that say whether it worked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts import (
    ConfigurationError,
    InvalidRequest,
    QwenTTSService,
    StoredVoice,
    VoiceLibrary,
)
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.testing.comfyui.log import SocketOpened, Submitted

from .caller import speaking_character

LINE = "Hello, this is a test."
SPEAK, CLONE, TRAIN = "FB_Qwen3TTSCustomVoice", "FB_Qwen3TTSVoiceClone", "FB_Qwen3TTSTrain"
QUICK = {"comfyui": {"timeouts": {"connect": 1.0, "away": 0.2}}, "retry": {"attempts": 1}}


@pytest.fixture
def server(standin_comfyui_factory):
    return standin_comfyui_factory(instant=True, checkpoints={"/voices/mara": ["mara"]})


@pytest.fixture
async def service(server, settings):
    """A service whose settings name a fallback nowhere; closed after the test."""
    async with QwenTTSService(server.url, config=settings(backend="comfyui")) as service:
        yield service


@pytest.fixture
def inputs_of(server):
    def find(class_type):
        graph = server.log.of(Submitted)[-1].graph
        return next(n["inputs"] for n in graph.values() if n["class_type"] == class_type)

    return find


@pytest.fixture
def dataset(tmp_path, recording):
    folder = tmp_path / "dataset"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.wav").write_bytes(recording.read_bytes())
        (folder / f"{number}.txt").write_text("Some words.")
    return folder


# Speaking ---------------------------------------------------------------------------------------


async def test_files_without_a_name_go_below_what_the_engine_serves(service, tmp_path):
    result = await service.text_to_speech("Hello.", voice="Ryan")
    assert Path(result.audio_path).parent == tmp_path / "output" / "tts"


async def test_a_size_that_is_opened_during_a_reload_has_the_new_settings(settings, server):
    async with QwenTTSService(server.url, config=settings(backend="draft")) as service:
        await service.text_to_speech(LINE, "Ryan")
        settings(backend="comfyui")
        reloading = asyncio.ensure_future(service.reload())
        await asyncio.sleep(0)  # it reads the settings in a thread
        late = service._speech.tts("0.6B")
        await reloading
        assert late.config.backend == "comfyui"


async def test_direct_speaks_with_both_sizes(settings, tiny_places, heard, recording):
    direct = {"models": tiny_places, "max_loaded_models": 1}
    file = settings(backend="direct", device="cpu", precision="fp32", direct=direct)
    async with QwenTTSService(config=file) as service:
        heard(await speaking_character(service, LINE, "Ryan", "calm"))
        for preset in ("fast", "quality"):
            cloned = await service.clone_voice(recording, LINE, "Some words.", preset=preset)
            assert cloned.error_message is None
            heard(cloned.audio_path)


async def test_a_tone_is_a_style_or_words_and_sampling_is_passed_on(service, inputs_of, heard):
    heard(await speaking_character(service, LINE, "Ryan", None))
    assert inputs_of(SPEAK)["instruct"] == ""
    calm = service.get_voice_instructions()["calm"]
    for instruct, sent in (("calm", calm), ("like a pirate", "like a pirate")):
        assert (await service.text_to_speech(LINE, voice="Ryan", instruct=instruct)).success
        assert inputs_of(SPEAK)["instruct"] == sent
    assert (await service.text_to_speech(LINE, "fr-FR-Denise", "English", seed=4, top_k=7)).success
    passed_on = {"seed": 4, "top_k": 7, "language": "English", "speaker": "Serena"}
    assert passed_on.items() <= inputs_of(SPEAK).items()


async def test_a_tone_does_not_keep_a_cloned_voice_from_speaking(
    service, inputs_of, tmp_path, recording
):
    reference = ReferenceAudio.from_file(recording, transcript="Some words.")
    voice = StoredVoice("Mia", consent="Mia, 2026-01-02", reference=reference)
    await asyncio.to_thread(VoiceLibrary(tmp_path / "voices").add, voice)
    assert await speaking_character(service, LINE, "mia", None)
    assert inputs_of(CLONE)["ref_text"] == "Some words."
    told = await service.text_to_speech(LINE, voice="Mia", instruct="calm")
    assert told.success
    assert "instruct was ignored" in told.warnings[0]


async def test_what_is_refused_is_a_result(service):
    result = await service.text_to_speech(LINE, voice="ar-EG-Salma")
    assert (result.success, result.audio_path, result.text) == (False, None, LINE)
    assert "Use one of" in result.error_message
    with pytest.raises(RuntimeError, match="TTS Failed"):
        await speaking_character(service, LINE, "ar-EG-Salma", None)


async def test_a_backend_that_cannot_even_be_opened_is_a_result(settings, tmp_path, recording):
    nowhere = {
        "models": {f"1.7B-{kind}": str(tmp_path / "none") for kind in ("CustomVoice", "Base")}
    }
    file = settings(backend="direct", direct=nowhere, retry={"attempts": 1})
    async with QwenTTSService(config=file) as service:
        for told in (
            await service.text_to_speech(LINE),
            await service.clone_voice(recording, LINE, preset="quality"),
            await service.train_model(str(tmp_path), str(tmp_path / "out"), "m"),
        ):
            assert not told.success
            assert told.error_message


async def test_a_mistake_in_the_program_is_no_result(service):
    with pytest.raises(TypeError):
        await service.text_to_speech(LINE, no_such_option=1)
    with pytest.raises(TypeError):
        await service.train_model("a", "b", "c", no_such_option=1)


async def test_a_killed_comfyui_is_stood_in_for_or_told(server, settings, heard):
    file = settings(backend="comfyui", fallback="draft", **QUICK)
    async with QwenTTSService(server.url, config=file) as service:
        await asyncio.to_thread(server.stop)
        heard((await service.text_to_speech(LINE)).audio_path)
        settings(backend="comfyui", **QUICK)
        await service.reload()
        told = await service.text_to_speech(LINE)
        assert not told.success
        assert server.url in told.error_message
        assert not await service.check_connection()


async def test_a_service_for_each_job_that_nobody_closes_opens_one_connection(server, settings):
    file = settings(backend="comfyui")
    for _ in range(5):
        assert (await QwenTTSService(server.url, config=file).text_to_speech(LINE)).success
    assert len(server.log.of(SocketOpened)) == 1
    async with QwenTTSService(server.url, config=file) as another:
        assert (await another.text_to_speech(LINE)).success
    assert (await QwenTTSService(server.url, config=file).text_to_speech(LINE)).success
    assert len(server.log.of(SocketOpened)) == 1


async def test_close_and_speak_again(service):
    assert (await service.text_to_speech(LINE)).success
    await service.close()
    assert (await service.text_to_speech(LINE)).success
    await service.close()
    await service.close()


# Voices -----------------------------------------------------------------------------------------


async def test_a_registered_voice_speaks_until_it_is_taken_back(service, inputs_of):
    service.register_custom_voice(
        "hero", "The hero", "/voices/mara", "mara", "fr", "female", "bold"
    )
    listed = {voice.id: voice for voice in await service.get_available_voices()}
    assert await service.check_connection()
    assert {"Ryan", "Serena", "Vivian", "fr-FR-Denise"} <= set(listed)
    assert not {"Emily", "Michael", "Sarah"} & set(listed)
    assert "rhythm" in listed["Ryan"].description
    assert (listed["hero"].name, listed["hero"].language, listed["hero"].is_custom) == (
        "The hero", "fr", True,
    )  # fmt: skip
    assert (await service.text_to_speech(LINE, voice="hero")).success
    assert {
        "custom_model_path": "/voices/mara", "custom_speaker_name": "mara", "language": "French",
    }.items() <= inputs_of(SPEAK).items()  # fmt: skip
    assert service.unregister_custom_voice("hero")
    assert not service.unregister_custom_voice("hero")
    assert (await service.text_to_speech(LINE, voice="hero")).speaker != "mara"


# Cloning and training ---------------------------------------------------------------------------


async def test_a_clone_preset_uses_its_model(service, inputs_of, recording):
    for preset, size, only in (
        ("fast", "0.6B", True), ("balanced", "0.6B", False), ("quality", "1.7B", False),
    ):  # fmt: skip
        result = await service.clone_voice(recording, LINE, "Some words.", preset=preset)
        assert (result.success, result.voice) == (True, "cloned")
        sent = inputs_of(CLONE)
        assert (sent["model_choice"], sent["x_vector_only"]) == (size, only)


async def test_without_a_transcript_only_the_timbre_is_taken_and_what_cannot_be_is_told(
    service, recording, tmp_path
):
    result = await service.clone_voice(str(recording), LINE)
    assert "x-vector only" in result.warnings[0]
    for told in (
        await service.clone_voice(tmp_path / "none.wav", LINE),
        await service.clone_voice(recording, LINE, preset="perfect"),
        await service.clone_voice(recording, ""),
    ):
        assert not told.success
        assert told.error_message


async def test_a_training_preset_uses_its_model_and_its_terms(
    service, inputs_of, dataset, tmp_path
):
    result = await service.train_model(
        str(dataset), str(tmp_path / "out"), "mara", preset="quality", num_epochs=2
    )
    assert (result.success, result.num_epochs, result.speaker_name) == (True, 2, "mara")
    assert result.checkpoint_path.endswith("checkpoint-epoch-1")
    assert result.final_loss > 0
    assert {
        "init_model": "Qwen/Qwen3-TTS-12Hz-1.7B-Base", "learning_rate": 1e-5, "num_epochs": 2,
    }.items() <= inputs_of(TRAIN).items()  # fmt: skip
    told = await service.train_model(str(dataset), str(tmp_path / "out"), "m", preset="quick")
    assert inputs_of(TRAIN)["init_model"] == "Qwen/Qwen3-TTS-12Hz-0.6B-Base"
    assert not told.success  # that node cannot train the small model; its own words
    assert "size of tensor" in told.error_message


async def test_how_long_a_training_takes_is_measured_and_never_guessed(service, dataset, tmp_path):
    before = service.estimate_training_time(4, 4.0)
    assert (before["steps"], before["estimated_seconds"]) == (40, None)
    assert "cannot be estimated" in before["message"]
    trained = await service.train_model(str(dataset), str(tmp_path / "out"), "mara")
    assert trained.success
    after = service.estimate_training_time(4, 4.0)
    assert after["measured_steps"] == 39
    assert 0 < after["estimated_seconds"] <= trained.training_time * 1.5
    longer = service.estimate_training_time(8, 8.0)["estimated_seconds"]
    assert longer == pytest.approx(4 * after["estimated_seconds"], rel=1e-3)
    with pytest.raises(InvalidRequest):
        service.estimate_training_time(4, 4.0, preset="perfect")


def test_settings_given_to_the_constructor_go_above_the_file(settings):
    file = settings(comfyui={"timeouts": {"idle": 7.0}})
    config = QwenTTSService("http://10.0.0.5:8000", "0.6B", "cpu", "fp32", 120, config=file).config
    assert (config.comfyui_url, config.model_choice) == ("http://10.0.0.5:8000", "0.6B")
    assert (config.device, config.precision) == ("cpu", "fp32")
    assert (config.comfyui.timeouts.job, config.comfyui.timeouts.idle) == (120.0, 7.0)
    with pytest.raises(ConfigurationError, match="precision"):
        QwenTTSService(precision="fp16", config=file)


async def test_two_sizes_at_once(service, recording):
    some = await asyncio.gather(
        service.clone_voice(recording, LINE, preset="fast"),
        service.clone_voice(recording, LINE, "Some words.", preset="quality"),
        service.text_to_speech(LINE),
    )
    assert all(result.success for result in some)
    assert len({result.audio_path for result in some}) == 3
    assert all(np.abs(soundfile.read(result.audio_path)[0]).max() > 0 for result in some)
