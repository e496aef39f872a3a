"""``AIVideoEditorService.tts``: installed, asked as the engine asks, and measured."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import storycore_tts
from storycore_tts import (
    BackendUnavailable,
    ConfigurationError,
    InvalidRequest,
    QwenComfyUITTSService,
    UnsupportedLanguage,
)
from storycore_tts.testing.comfyui.log import Submitted

from .caller import AIConfig, AIVideoEditorService, TTSService

LINE = "Bonjour, ceci est un test de synthèse vocale."
QUICK = {
    "comfyui": {"timeouts": {"connect": 1.0, "away": 0.2}},
    "retry": {"attempts": 1},
}
VOICE = "FB_Qwen3TTSCustomVoice"


@pytest.fixture
async def editor(tmp_path):
    """An editor whose configuration asks for Qwen; what was installed is closed."""
    service = AIVideoEditorService(AIConfig("qwen", temp_dir=str(tmp_path / "temp")))
    yield service
    await storycore_tts.uninstall(service)


def asked(server):
    """The inputs that the server's last job gave to the speaking node."""
    graph = server.log.of(Submitted)[-1].graph
    return next(node["inputs"] for node in graph.values() if node["class_type"] == VOICE)


async def test_the_editor_speaks_in_this_process(editor, settings, tiny_places, heard):
    own = {"models": tiny_places}
    file = settings(backend="direct", device="cpu", precision="fp32", direct=own)
    storycore_tts.install(editor, file)
    result = await editor.voice_over("Hello world")
    samples, rate = heard(result.audio_path)
    assert (rate, len(samples) / rate) == (24_000, pytest.approx(result.duration, abs=1e-3))


async def test_the_settings_decide_who_speaks(editor, standin_comfyui, settings, heard):
    speaking = storycore_tts.install(editor, settings(backend="draft"))
    heard((await editor.voice_over(LINE)).audio_path)
    assert not standin_comfyui.log.of(Submitted)
    settings(backend="comfyui", comfyui_url=standin_comfyui.url)
    await speaking.reload()
    result = await editor.voice_over(LINE)
    samples, rate = heard(result.audio_path)
    assert Path(result.audio_path).parent == Path(editor.config.temp_dir)
    assert (result.sample_rate, result.text, result.voice) == (rate, LINE, "fr-FR-Denise")
    assert result.duration == pytest.approx(len(samples) / rate, abs=1e-3)
    assert {"speaker": "Serena", "language": "French"}.items() <= asked(standin_comfyui).items()
    settings(backend="draft")
    await speaking.reload()
    heard((await editor.voice_over(LINE)).audio_path)
    assert len(standin_comfyui.log.of(Submitted)) == 1


async def test_without_a_fallback_a_killed_comfyui_is_a_typed_error(
    editor, standin_comfyui, settings
):
    url = standin_comfyui.url
    storycore_tts.install(editor, settings(backend="comfyui", comfyui_url=url, **QUICK))
    await asyncio.to_thread(standin_comfyui.stop)
    with pytest.raises(BackendUnavailable):
        await editor.tts.load_model()
    with pytest.raises(BackendUnavailable):
        await editor.tts.text_to_speech(LINE)


# Pace and pitch ---------------------------------------------------------------------------------


@pytest.fixture
async def speak(editor, settings, heard):
    """Speaks the same line with the draft voice, and returns (samples, rate, result)."""
    storycore_tts.install(editor, settings())

    async def one(**how):
        result = await editor.tts.text_to_speech(LINE, voice="Serena", **how)
        return *heard(result.audio_path), result

    return one


@pytest.mark.parametrize(
    ("speed", "pitch"), [(0.5, 1.0), (2.0, 1.0), (1.0, 0.6), (1.0, 1.6), (1.5, 1.5)]
)
async def test_speed_changes_the_duration_and_pitch_the_fundamental_and_neither_the_other(
    speak, fundamental, tmp_path, speed, pitch
):
    target = tmp_path / "new" / "line.flac"
    plain, rate, _ = await speak()
    changed, _, result = await speak(speed=speed, pitch=pitch, output_path=str(target))
    assert result.audio_path == str(target)
    assert len(changed) == pytest.approx(len(plain) / speed, rel=0.02)
    assert (result.sample_rate, result.duration) == (rate, pytest.approx(len(changed) / rate, 1e-3))
    assert fundamental(changed, rate) / fundamental(plain, rate) == pytest.approx(pitch, rel=0.06)


async def test_a_value_out_of_range_is_refused_before_anybody_is_asked(
    editor, standin_comfyui, settings
):
    storycore_tts.install(editor, settings(backend="comfyui", comfyui_url=standin_comfyui.url))
    for how, said in (
        ({"speed": 9.0}, "speed"),
        ({"pitch": 0.0}, "pitch"),
        ({"pitch": float("nan")}, "pitch"),
        ({"output_path": "line.xyz"}, "xyz"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            await editor.tts.text_to_speech(LINE, **how)
    assert not standin_comfyui.log.of(Submitted)


# Voices -----------------------------------------------------------------------------------------


async def test_voice_ids_reach_comfyui_as_speaker_and_language(
    editor, standin_comfyui_factory, settings
):
    server = standin_comfyui_factory(instant=True)
    mine = {"mine": {"speaker": "Sohee", "language": "ko"}}
    file = settings(backend="comfyui", comfyui_url=server.url, voice_map=mine)
    storycore_tts.install(editor, file)
    for voice, speaker, language in (
        ("EN-us-guy", "Aiden", "English"),
        ("de-DE-Conrad", "Uncle_fu", "German"),
        ("vivian", "Vivian", "Auto"),
        ("mine", "Sohee", "Korean"),
    ):
        result = await editor.tts.text_to_speech(LINE, voice=voice)
        assert result.voice == voice
        assert {"speaker": speaker, "language": language}.items() <= asked(server).items()


async def test_voices_are_listed_with_id_language_and_gender_and_others_refused(editor, settings):
    speaking = storycore_tts.install(editor, settings())
    voices = await editor.tts.get_available_voices()
    assert all(set(voice) == {"id", "language", "gender"} for voice in voices)
    assert {"id": "fr-FR-Denise", "language": "fr", "gender": "female"} in voices
    assert {"id": "de-DE-Conrad", "language": "de", "gender": "male"} in voices
    assert {"id": "Ryan", "language": "en", "gender": "male"} in voices
    for voice, error in (
        ("ar-EG-Salma", UnsupportedLanguage),
        (7, InvalidRequest),
    ):
        with pytest.raises(error):
            await editor.tts.text_to_speech(LINE, voice=voice)
    for voice in voices:
        assert (await speaking.text_to_speech("Oui.", voice=voice["id"])).duration > 0


async def test_a_stored_voice_whose_name_looks_like_a_locale_is_itself(
    editor, settings, standin_comfyui_factory, tmp_path
):
    server = standin_comfyui_factory(instant=True, checkpoints={"/voices/mara": ["mara"]})
    file = settings(backend="comfyui", comfyui_url=server.url)
    library = storycore_tts.VoiceLibrary(tmp_path / "voices")
    voice = storycore_tts.StoredVoice("fr-CA-Mara", checkpoint="/voices/mara", speaker="mara")
    await asyncio.to_thread(library.add, voice)
    storycore_tts.install(editor, file)
    await editor.tts.text_to_speech(LINE, voice="fr-CA-Mara")
    assert asked(server)["custom_model_path"] == "/voices/mara"


# Installing -------------------------------------------------------------------------------------


def test_only_a_configuration_that_asks_for_it_and_is_valid_is_served(settings):
    for model in ("coqui", "vits"):
        service = AIVideoEditorService(AIConfig(model))
        before = dict(vars(service))
        assert storycore_tts.install(service, settings()) is None
        assert vars(service) == before
    service = AIVideoEditorService(AIConfig("qwen"))
    with pytest.raises(ConfigurationError):
        storycore_tts.install(service, settings(backend="dirct"))
    assert isinstance(service.tts, TTSService)


async def test_installing_twice_changes_nothing_and_uninstalling_puts_everything_back(settings):
    service = AIVideoEditorService(AIConfig("qwen"))
    before = dict(vars(service))
    first = storycore_tts.install(service, settings())
    assert storycore_tts.install(service, settings()) is first is service.tts
    assert {k: v for k, v in vars(service).items() if k != "tts"} == {
        k: v for k, v in before.items() if k != "tts"
    }
    await storycore_tts.uninstall(service)
    assert isinstance(service.tts, TTSService)
    assert vars(service) == before
    await storycore_tts.uninstall(service)
    assert vars(service) == before


async def test_a_service_of_its_own_opens_again_after_it_was_closed(settings, tmp_path, heard):
    async with QwenComfyUITTSService(config=settings(output_dir=str(tmp_path))) as tts:
        heard((await tts.text_to_speech(LINE)).audio_path)
        await tts.load_model("qwen")
        with pytest.raises(InvalidRequest, match="coqui"):
            await tts.load_model("coqui")
        await tts.aclose()
        result = await tts.text_to_speech(LINE)
    assert (result.voice, Path(result.audio_path).parent) == ("Ryan", tmp_path)
