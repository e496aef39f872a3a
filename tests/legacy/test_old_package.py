"""``import qwen_tts_comfyui`` keeps working."""

import asyncio
import warnings

import pytest
import soundfile

import qwen_tts_comfyui
import qwen_tts_comfyui.client
import qwen_tts_comfyui.config
import storycore_tts
from qwen_tts_comfyui import (
    AudioResult,
    QwenTTSComfyUIClient,
    QwenTTSComfyUIClientSync,
    QwenTTSConfig,
    QwenTTSVoiceCloneConfig,
    TrainingResult,
    create_client,
    get_voice_instruction,
)
from storycore_tts import InvalidReferenceAudio, UnknownSpeaker


def test_the_names_are_those_of_the_new_package():
    for name in ("QwenTTSConfig", "QwenTTSModelConfig", "QwenTTSGenerationConfig"):
        assert getattr(qwen_tts_comfyui, name) is getattr(storycore_tts, name)
    assert AudioResult is storycore_tts.VoiceResult
    assert TrainingResult is storycore_tts.TrainedVoice
    assert all(hasattr(qwen_tts_comfyui, name) for name in qwen_tts_comfyui.__all__)
    for module in (qwen_tts_comfyui.client, qwen_tts_comfyui.config):
        for name in module.__all__:
            assert getattr(module, name) is getattr(qwen_tts_comfyui, name)
    assert get_voice_instruction("calm") == qwen_tts_comfyui.VOICE_INSTRUCTIONS["calm"]


async def test_the_client_speaks(standin_comfyui_factory, tmp_path):
    url = standin_comfyui_factory(instant=True).url
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        client = QwenTTSComfyUIClient(QwenTTSConfig(), url)
    result = await client.generate_voice("Hello.", "Ryan", output_path=tmp_path / "line.wav")
    assert isinstance(result, AudioResult)
    assert soundfile.info(result.audio_path).duration == pytest.approx(result.duration, abs=1e-3)
    assert await client.check_connection()
    await client.close()


async def test_the_synchronous_client_speaks_with_and_without_a_loop_and_after_close(
    standin_comfyui_factory, tmp_path
):
    url = standin_comfyui_factory(instant=True).url
    client = QwenTTSComfyUIClientSync(QwenTTSConfig(comfyui_url=url))

    def speak(name):
        return client.generate_voice(text="Hello.", speaker="Ryan", output_path=tmp_path / name)

    here = speak("here.wav")  # in the thread of a running loop
    assert isinstance(here, AudioResult)
    client.close()
    there = await asyncio.to_thread(speak, "there.wav")
    assert {path.name for path in tmp_path.glob("*.wav")} >= {"here.wav", "there.wav"}
    assert there.duration == here.duration
    reference = str(there.audio_path)
    wanted = QwenTTSVoiceCloneConfig(ref_audio=reference, target_text="Hello.")
    assert wanted.to_dict() == {
        "ref_audio": reference,
        "ref_text": "",
        "target_text": "Hello.",
        "x_vector_only": False,
        "custom_model_path": "",
    }
    assert client.clone_voice(**wanted.arguments()).x_vector_only
    with pytest.raises(UnknownSpeaker):
        client.generate_voice("Hello.", "Emily")
    client.close()
    client.close()


async def test_it_asks_comfyui_whatever_the_settings_say_and_so_does_the_factory():
    async with QwenTTSComfyUIClient(QwenTTSConfig(backend="draft")) as client:
        assert client.config.backend == "comfyui"
    async with create_client("http://10.0.0.5:8188", "0.6B", "cpu", "fp32") as client:
        config = client.config
    told = (config.comfyui_url, config.model_choice, config.device, config.precision)
    assert told == ("http://10.0.0.5:8188", "0.6B", "cpu", "fp32")


async def test_it_is_deprecated_where_the_settings_say_so():
    with pytest.warns(DeprecationWarning, match=r"storycore_tts\.QwenTTSComfyUIClient") as caught:
        client = QwenTTSComfyUIClient(QwenTTSConfig(deprecate_legacy=True))
    assert caught[0].filename == __file__
    await client.close()
    with pytest.warns(DeprecationWarning, match="QwenTTSComfyUIClientSync") as caught:
        QwenTTSComfyUIClientSync(QwenTTSConfig(deprecate_legacy=True))
    assert [warning.filename for warning in caught] == [__file__]


async def test_a_name_that_no_file_can_have_is_a_typed_error():
    async with QwenTTSComfyUIClient(QwenTTSConfig()) as client:
        for name in ("x" * 300, "a\0b"):
            with pytest.raises(InvalidReferenceAudio):
                await client.clone_voice(name, "Hello.")
