"""The engine's factories, by their own names."""

from types import SimpleNamespace

import pytest

from storycore_tts import (
    InvalidRequest,
    QwenComfyUITTSService,
    create_qwen_tts_service,
    create_tts_service,
)


async def test_the_factory_of_the_editor_speaks_as_its_configuration_says(
    settings, heard, tmp_path
):
    ai_config = SimpleNamespace(
        tts_model="qwen", tts_default_voice="fr-FR-Denise", temp_dir=str(tmp_path / "temp")
    )
    async with create_tts_service(ai_config, config=settings()) as service:
        assert type(service) is QwenComfyUITTSService
        result = await service.text_to_speech("Bonjour.")
    assert result.voice == "fr-FR-Denise"
    assert result.audio_path.startswith(ai_config.temp_dir)
    heard(result.audio_path)
    with pytest.raises(InvalidRequest, match="'coqui'"):
        create_tts_service(SimpleNamespace(tts_model="coqui"))


async def test_the_factory_of_the_production_takes_what_the_old_one_took():
    service = create_qwen_tts_service("http://10.0.0.5:8188", "0.6B", "cpu", precision="fp32")
    told = service.config
    assert (told.comfyui_url, told.model_choice) == ("http://10.0.0.5:8188", "0.6B")
    assert (told.device, told.precision) == ("cpu", "fp32")
    await service.close()
