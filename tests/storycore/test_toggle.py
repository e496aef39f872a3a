"""``tts.qwen.backend`` in a file, changed while the engine's callers work."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts import Qwen3TTSIntegration, QwenComfyUITTSService, QwenTTSService, open_tts
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.testing.comfyui.log import Submitted

LINE = "Bonjour, ceci est un test."


@pytest.fixture
def server(standin_comfyui_factory):
    return standin_comfyui_factory(instant=True)


async def spoken_by_the_client(config, toggled, out):
    async with open_tts(config) as tts:
        for toggle in toggled:
            toggle()
            assert (await tts.say(LINE)).duration > 0


async def spoken_by_the_client_as_a_stream(config, toggled, out):
    """What cannot stream is a refusal, by what the file says now."""
    from storycore_tts.domain.requests import SpeechRequest
    from storycore_tts.errors import UnsupportedByBackend

    async with open_tts(config) as tts:
        for toggle in toggled:
            toggle()
            with pytest.raises(UnsupportedByBackend):
                await anext(tts.synthesize_stream(SpeechRequest(LINE, "Ryan")))
            assert (await tts.say(LINE)).duration > 0


async def spoken_by_the_editor(config, toggled, out):
    async with QwenComfyUITTSService(config=config) as service:
        for toggle in toggled:
            toggle()
            assert (await service.text_to_speech(LINE, output_path=out)).duration > 0


async def spoken_by_the_production(config, toggled, out):
    """With a time limit of its own, and two sizes that are open."""
    async with QwenTTSService(timeout=60, config=config) as service:
        service._speech.tts("0.6B")
        for toggle in toggled:
            toggle()
            assert (await service.text_to_speech(LINE, "Ryan", output_path=out)).success


async def spoken_by_the_old_class(config, toggled, out):
    with Qwen3TTSIntegration(config=config) as service:
        for toggle in toggled:
            toggle()
            assert await asyncio.to_thread(service.generate_voice, LINE, out)


async def spoken_by_a_service_that_was_handed_out(config, toggled, out):
    speech = SpeechBySize(config)
    tts = speech.tts()
    for toggle in toggled:
        toggle()
        assert (await tts.say(LINE)).duration > 0
    await speech.aclose()


@pytest.mark.parametrize(
    "spoken",
    [
        spoken_by_the_client,
        spoken_by_the_client_as_a_stream,
        spoken_by_the_editor,
        spoken_by_the_production,
        spoken_by_the_old_class,
        spoken_by_a_service_that_was_handed_out,
    ],
)
async def test_a_file_that_is_edited_changes_who_speaks(
    spoken, settings, server, a_second_passes, tmp_path
):
    seen = []

    def toggled_to(backend):
        def toggle():
            seen.append(len(server.log.of(Submitted)))
            settings(backend=backend, comfyui_url=server.url)
            a_second_passes()

        return toggle

    toggles = [toggled_to(name) for name in ("comfyui", "draft", "nobody", "comfyui")]
    file = settings(backend="draft", comfyui_url=server.url)
    await spoken(file, toggles, tmp_path / "out.wav")
    assert [*seen, len(server.log.of(Submitted))] == [0, 1, 1, 1, 2]


async def test_results_say_that_the_file_is_refused_until_it_is_mended(settings, a_second_passes):
    file = settings(backend="draft")
    async with QwenComfyUITTSService(config=file) as editor, QwenTTSService(config=file) as film:

        async def warned():
            a_second_passes()
            results = [await editor.text_to_speech(LINE), await film.text_to_speech(LINE, "Ryan")]
            return ["'drfat'" in " ".join(one.warnings) for one in results]

        assert await warned() == [False, False]
        settings(backend="drfat")
        assert await warned() == [True, True]
        settings(backend="draft")
        assert await warned() == [False, False]


async def test_event_loops_of_several_threads_go_on_while_the_file_is_edited(
    settings, server, a_second_passes
):
    service = QwenComfyUITTSService(config=settings(backend="draft", comfyui_url=server.url))

    async def speak(number):
        for backend in ("comfyui", "draft") * 3:
            if number == 0:
                settings(backend=backend, comfyui_url=server.url)
                a_second_passes()
            assert (await service.text_to_speech(LINE)).duration > 0

    threads = [asyncio.to_thread(asyncio.run, speak(number)) for number in range(4)]
    await asyncio.gather(*threads)
    await service.aclose()
    assert server.log.of(Submitted)


async def test_settings_that_are_given_as_an_object_stay(settings, a_second_passes, monkeypatch):
    from storycore_tts.settings import load_config

    file = settings(backend="draft")
    monkeypatch.chdir(file.parent)
    async with QwenTTSService(config=load_config(file).config) as service:
        assert (await service.text_to_speech(LINE, "Ryan")).success
        settings(backend="comfyui", fallback="none", comfyui_url="http://127.0.0.1:1")
        a_second_passes()
        assert (await service.text_to_speech(LINE, "Ryan")).success


async def test_the_log_says_that_a_rollout_overrides_the_backend(settings, caplog, a_second_passes):
    def notices():
        found = [
            r for r in caplog.records if getattr(r, "event", "") == "rollout.overrides_backend"
        ]
        caplog.clear()
        return [one.fields["notice"] for one in found]

    off = {"fallback": "none", "comfyui_url": "http://127.0.0.1:1", "retry": {"attempts": 1}}
    async with open_tts(settings(backend="comfyui", rollout=0.25, **off)) as tts:
        (notice,) = notices()
        assert "25% of the requests go to comfyui" in notice
        settings(backend="comfyui", rollout=1.0, **off)  # which is what backend says
        await tts.reload()
        assert notices() == []
        settings(backend="direct", rollout=1.0, **off)
        a_second_passes()
        await tts.status()
        assert "(direct)" in notices()[0]
