"""``Qwen3TTSIntegration``: synchronous, from anywhere."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import warnings

import numpy as np
import pytest
import soundfile

from storycore_tts import (
    BackendUnavailable,
    ConfigurationError,
    InvalidRequest,
    Qwen3TTSIntegration,
    UnknownSpeaker,
    UnsupportedLanguage,
)
from storycore_tts.entrypoints.legacy.blocking import Calls
from storycore_tts.entrypoints.legacy.prompts import EMOTIONS
from storycore_tts.testing.comfyui.log import Submitted

LINE = "Hello, this is a test."


@pytest.fixture
def made(settings):
    """Makes integrations, and closes them after the test."""
    some = []

    def make(*arguments, **how):
        some.append(Qwen3TTSIntegration(*arguments, config=settings(**how.pop("qwen", {})), **how))
        return some[-1]

    yield make
    for one in some:
        one.close()


@pytest.fixture
def server(standin_comfyui_factory):
    return standin_comfyui_factory(instant=True)


def inputs(server):
    """The inputs that the server's last job gave to the node that speaks."""
    graph = server.log.of(Submitted)[-1].graph
    return next(n["inputs"] for n in graph.values() if "Qwen3TTS" in n["class_type"])


def legacy_threads():
    return [one for one in threading.enumerate() if one.name.startswith("storycore-tts legacy")]


def left_of(threads):
    """Those that have not ended after a while: the last reference may be let go in one of them."""
    for thread in threads:
        thread.join(timeout=20)
    return [thread for thread in threads if thread.is_alive()]


async def nothing():
    """Something that is done at once."""


def in_a_thread(call):
    """Begin a call in a thread of its own."""
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_a_line_outside_any_loop(made, tmp_path):
    voice = made()
    assert voice.generate_voice(LINE, str(tmp_path / "new" / "line.wav")) is True
    samples, rate = soundfile.read(tmp_path / "new" / "line.wav")
    assert rate == 24_000
    assert np.abs(samples).max() > 0.05
    assert voice.last_error is None


async def test_a_line_inside_a_running_loop(made, tmp_path):
    assert made().generate_voice(LINE, tmp_path / "line.wav") is True
    assert (tmp_path / "line.wav").stat().st_size > 10_000


def test_first_calls_at_once_share_a_loop(made):
    """A second one would be forgotten, with the connections that it opened."""
    voice, begin, loops = made(), threading.Barrier(8), set()

    async def note():
        loops.add(asyncio.get_running_loop())

    def call():
        begin.wait()
        voice._done(note)

    for thread in [in_a_thread(call) for _ in range(8)]:
        thread.join()
    assert len(loops) == 1


def test_through_comfyui_with_the_size_that_the_name_says(made, tmp_path, server, recording):
    qwen = {"backend": "comfyui", "comfyui_url": server.url}
    for name, size in [("qwen3-tts-0.6b", "0.6B"), ("Qwen3-TTS-1.7B", "1.7B")]:
        assert made(name, qwen=qwen).generate_voice(LINE, tmp_path / "line.wav")
        assert inputs(server)["model_choice"] == size
    with pytest.raises(ConfigurationError, match="qwen3-tts-9b"):
        made("qwen3-tts-9b")
    assert made(qwen=qwen).clone_voice(str(recording), LINE, tmp_path / "clone.flac")
    assert inputs(server)["x_vector_only"] is True
    assert soundfile.info(tmp_path / "clone.flac").duration > 0


def test_parameters_of_a_line(made, tmp_path, server):
    voice = made(qwen={"backend": "comfyui", "comfyui_url": server.url})
    for params, sent in (
        ({"speaker": "fr-FR-Denise"}, {"speaker": "Serena", "language": "French"}),
        ({"voice_type": "male"}, {"speaker": "Ryan", "instruct": ""}),
        ({"voice_type": "elderly"}, {"speaker": "Uncle_fu"}),
        ({"language": "fr", "seed": 3, "top_k": 7}, {"language": "French", "seed": 3, "top_k": 7}),
        ({"instruct": "loud", "emotion": "sad"}, {"instruct": "loud"}),
        (
            {"voice_type": "child", "emotion": "happy", "language": "en"},
            {"instruct": voice.generate_prompt("child", "happy", "en")},
        ),
        ({"emotion": "angry"}, {"instruct": EMOTIONS["angry"]}),
    ):
        assert voice.generate_voice(LINE, tmp_path / "line.wav", params), voice.last_error
        assert sent.items() <= inputs(server).items()


def test_what_is_refused_is_false_and_says_why(made, tmp_path):
    voice, target = made(), tmp_path / "line.wav"
    for params, error in (
        ({"speaker": "Emily"}, UnknownSpeaker),
        ({"language": "Klingon"}, UnsupportedLanguage),
        ({"voise_type": "male"}, InvalidRequest),
        ({"voice_type": "dragon"}, InvalidRequest),
    ):
        assert voice.generate_voice(LINE, target, params) is False
        assert isinstance(voice.last_error, error)
    assert voice.generate_voice(LINE, tmp_path / "line.xyz") is False
    assert voice.clone_voice(tmp_path / "none.wav", LINE, target) is False
    assert isinstance(voice.last_error, InvalidRequest)
    assert voice.generate_voice(LINE, target) is True
    assert voice.last_error is None


def test_speed(made, tmp_path):
    voice = made()
    for name, params in [("plain", None), ("fast", {"speed": 2.0, "pitch": 1.2})]:
        assert voice.generate_voice(LINE, tmp_path / f"{name}.wav", params), voice.last_error
    plain, fast = (soundfile.info(tmp_path / f"{n}.wav").duration for n in ("plain", "fast"))
    assert fast == pytest.approx(plain / 2, rel=0.02)


def test_a_comfyui_that_is_down_is_false_or_stood_in_for(made, tmp_path, server):
    server.stop()
    down = {
        "backend": "comfyui",
        "comfyui_url": "http://127.0.0.1:9",
        "comfyui": {"timeouts": {"connect": 1.0}},
        "retry": {"attempts": 1},
    }
    alone = made(qwen=down)
    assert alone.generate_voice(LINE, tmp_path / "line.wav") is False
    assert isinstance(alone.last_error, BackendUnavailable)
    assert made(qwen={**down, "fallback": "draft"}).generate_voice(LINE, tmp_path / "line.wav")


def test_a_mistake_in_the_program_is_not_swallowed(made, tmp_path):
    with pytest.raises((TypeError, ValueError)):
        made().generate_voice(LINE, tmp_path / "line.wav", ["no", "mapping"])
    with pytest.raises(TypeError):
        made().clone_voice(object(), LINE, tmp_path / "line.wav")


def test_closing_ends_the_thread_and_the_next_call_begins_another(made, tmp_path):
    voice = made()
    voice.close()
    with voice:
        assert voice.generate_voice(LINE, tmp_path / "line.wav")
        assert legacy_threads()
    assert not legacy_threads()
    voice.close()
    assert voice.generate_voice(LINE, tmp_path / "line.wav")


def test_a_call_that_is_under_way_when_another_thread_closes_answers_with_false(made):
    voice, begun, answers = made(), threading.Event(), []

    async def never():
        begun.set()
        await asyncio.get_running_loop().create_future()

    call = in_a_thread(lambda: answers.append(voice._done(never)))
    begun.wait()
    voice.close()
    call.join()
    assert answers == [False]
    assert isinstance(voice.last_error, BackendUnavailable)


def test_a_call_that_comes_when_another_thread_has_just_closed_is_done(made):
    """It had chosen the loop that was then closed, and asked it."""
    voice = made()
    assert voice._done(nothing)

    def closed_meanwhile():
        in_a_thread(voice.close).join()
        return nothing()

    assert voice._done(closed_meanwhile)


def test_calls_and_closes_in_many_threads_are_all_answered(made):
    voice, answers = made(), []

    def call():
        answers.extend(voice._done(nothing) for _ in range(20))

    threads = [in_a_thread(call) for _ in range(4)]
    while any(thread.is_alive() for thread in threads):
        voice.close()
    assert len(answers) == 80
    assert set(answers) <= {True, False}


def test_work_in_threads_has_ended_when_it_is_closed(made):
    voice, begun, ended = made(), threading.Event(), []

    def write():
        begun.set()
        threading.Event().wait(0.2)  # a slow disk
        ended.append(True)

    call = in_a_thread(lambda: voice._done(lambda: asyncio.to_thread(write)))
    begun.wait()
    voice.close()
    assert ended
    call.join()


def test_whoever_forgets_to_close_leaves_no_thread(settings, tmp_path):
    voice = Qwen3TTSIntegration(config=settings())
    assert voice.generate_voice(LINE, tmp_path / "line.wav")
    del voice
    gc.collect()
    assert not left_of(legacy_threads())


def test_one_that_is_forgotten_by_a_thread_of_its_own_ends_too():
    forgotten = threading.Event()
    calls = [Calls()]

    async def begin():
        asyncio.get_running_loop().run_in_executor(None, lambda: forgotten.wait() and calls.clear())

    calls[0].run(begin())
    threads = legacy_threads()
    forgotten.set()
    assert not left_of(threads)


# The old JSON file ------------------------------------------------------------------------------


@pytest.fixture
def old_file(tmp_path):
    def write(document):
        file = tmp_path / "old.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(file)

    return write


def test_the_old_file_is_read(made, tmp_path, server, old_file):
    file = old_file(
        {"sample_rate": 44_100, "voice_type": "female", "language": "fr", "use_gpu": False, "x": 1}
    )
    voice = made(config_path=file, qwen={"backend": "comfyui", "comfyui_url": server.url})
    assert voice.generate_voice(LINE, tmp_path / "line.wav"), voice.last_error
    sent = inputs(server)
    assert (sent["speaker"], sent["language"], sent["device"]) == ("Serena", "French", "cpu")
    assert soundfile.info(tmp_path / "line.wav").samplerate == 44_100


def test_another_sample_rate_keeps_length_and_pitch(made, tmp_path, old_file):
    for name, file in [("plain", None), ("other", old_file({"sample_rate": 44_100}))]:
        assert made(config_path=file).generate_voice(LINE, tmp_path / f"{name}.wav")
    plain, rate = soundfile.read(tmp_path / "plain.wav")
    other, higher = soundfile.read(tmp_path / "other.wav")
    assert len(other) / higher == pytest.approx(len(plain) / rate, abs=0.01)
    peaks = []
    for samples, hertz in ((plain, rate), (other, higher)):
        spectrum = np.abs(np.fft.rfft(samples, hertz * 10))  # bins of 0.1 Hz
        peaks.append(spectrum.argmax() / 10)
    assert peaks[1] == pytest.approx(peaks[0], rel=0.01)


def test_a_file_that_cannot_be_meant_or_opened_is_refused(made, old_file):
    for document in ("{", "[]", {"sample_rate": 1}, {"use_gpu": 1}):
        with pytest.raises(ConfigurationError, match=r"old\.json"):
            made(config_path=old_file(document))
    with pytest.raises(ConfigurationError, match="too long"):
        made(config_path="/" + "x" * 300)
    assert made(config_path="/none/at/all.json").legacy.language is None  # as it was before


# Deprecation ------------------------------------------------------------------------------------


def test_a_warning_that_the_settings_ask_for_names_what_replaces_it(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Qwen3TTSIntegration(config=settings()).close()
    with pytest.warns(DeprecationWarning, match=r"storycore_tts\.open_tts") as caught:
        Qwen3TTSIntegration(config=settings(deprecate_legacy=True)).close()
    assert caught[0].filename == __file__
