"""``import qwen_tts_comfyui`` keeps working."""

import warnings

import pytest
import soundfile

import qwen_tts_comfyui
import storycore_tts
from qwen_tts_comfyui import (
    AudioResult,
    QwenTTSComfyUIClient,
    QwenTTSConfig,
    TrainingResult,
    create_client,
    get_voice_instruction,
)
from storycore_tts import InvalidReferenceAudio


def test_the_names_are_those_of_the_new_package():
    for name in ("QwenTTSConfig", "QwenTTSModelConfig", "QwenTTSGenerationConfig"):
        assert getattr(qwen_tts_comfyui, name) is getattr(storycore_tts, name)
    assert AudioResult is storycore_tts.VoiceResult
    assert TrainingResult is storycore_tts.TrainedVoice
    assert all(hasattr(qwen_tts_comfyui, name) for name in qwen_tts_comfyui.__all__)
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


async def test_a_name_that_no_file_can_have_is_a_typed_error():
    async with QwenTTSComfyUIClient(QwenTTSConfig()) as client:
        for name in ("x" * 300, "a\0b"):
            with pytest.raises(InvalidReferenceAudio):
                await client.clone_voice(name, "Hello.")
