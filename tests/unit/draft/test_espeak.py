"""The binding: what goes in is text, what comes out depends on nothing else."""

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from storycore_tts.adapters.draft import espeak
from storycore_tts.adapters.draft.espeak import (
    EspeakError,
    EspeakUnavailable,
    EspeakVoice,
    SpeakCancelled,
    speak,
    version,
)

ENGLISH = EspeakVoice("en-us+f3")
KANA = "きょうはとてもいいてんきですねわたしはこうえんにいってともだちとあそびました"


def length(text, voice=ENGLISH):
    samples, rate = speak(text, voice)
    return len(samples) / rate


def test_speech_is_mono_float32_within_full_scale():
    samples, rate = speak("Hello, world.", ENGLISH)
    assert (samples.dtype, samples.ndim, rate) == (np.float32, 1, 22050)
    assert 0.1 < np.abs(samples).max() <= 1.0
    assert version().startswith("1.")


def test_the_same_call_gives_the_same_samples_whatever_came_before():
    text = "She sells sea shells, with a hiss."  # breath noise and pitch flutter keep state
    first, _ = speak(text, ENGLISH)
    speak("Привет, мир.", EspeakVoice("ru+m1", pitch=20))
    again, _ = speak(text, ENGLISH)
    assert np.array_equal(first, again)


def test_threads_do_not_disturb_each_other():
    texts = [f"Line {n}." for n in range(6)]
    alone = [speak(text, ENGLISH)[0] for text in texts]
    with ThreadPoolExecutor(len(texts)) as threads:
        together = threads.map(lambda text: speak(text, ENGLISH)[0], texts)
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_more_text_takes_longer_and_a_faster_pace_less():
    assert length("one two three four") > length("one two") > length("one") > 0.2
    assert length("one two three", EspeakVoice("en-us", words_per_minute=300)) < 0.8 * length(
        "one two three", EspeakVoice("en-us", words_per_minute=120)
    )


def test_pitch_and_range_are_heard():
    plain, low, wide = (
        speak("Hello there.", EspeakVoice("en-us+f3", **setting))[0]
        for setting in ({}, {"pitch": 80}, {"pitch_range": 90})
    )
    assert len({samples.tobytes() for samples in (plain, low, wide)}) == 3


@pytest.mark.parametrize(
    ("marked_up", "interpreted"),
    [
        ("<b>bold</b>", "bold"),
        ("salt &amp; pepper", "salt & pepper"),
        ("[[h@l'oU]]", "hello"),
        ('<audio src="x.wav"/> hello', "hello"),
    ],
)
def test_markup_is_spoken_not_interpreted(marked_up, interpreted):
    assert length(marked_up) > 1.3 * length(interpreted)


@pytest.mark.parametrize("control", ["\0", "\x01", "\x01150P", "\x7f", "\ud800"])
def test_control_characters_neither_end_the_text_nor_command(control):
    spoken, _ = speak(f"one {control} two", ENGLISH)
    plain, _ = speak(f"one   {control.lstrip(control[0])} two", ENGLISH)
    assert np.array_equal(spoken, plain)


def test_the_length_follows_what_is_there_to_say():
    japanese = EspeakVoice("ja+f5")  # has no spaces, and is spoken to its end all the same
    assert length(KANA * 4, japanese) > 3.5 * length(KANA, japanese)
    assert length("one\n\ntwo") > length("one two") + 0.1  # an empty line is a pause
    assert length("") < 0.1


def test_cancelling_stops_the_synthesis_in_the_middle():
    looks = itertools.count(1)
    before, _ = speak("And now?", ENGLISH)
    with pytest.raises(SpeakCancelled):
        speak("word " * 500, ENGLISH, cancelled=lambda: next(looks) > 20)
    assert next(looks) == 22  # it looked no more
    after, _ = speak("And now?", ENGLISH)
    assert np.array_equal(before, after)


def test_cancelling_ends_the_wait_for_another_thread():
    with espeak._lock, pytest.raises(SpeakCancelled):
        speak("Hello.", ENGLISH, cancelled=lambda: True)


def test_the_fraction_rises_to_the_end():
    fractions = []
    speak("First sentence. Second sentence. Third sentence.", ENGLISH, on_fraction=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.3
    assert 0.7 < fractions[-1] <= 1.0


def test_an_unknown_voice_is_refused():
    with pytest.raises(EspeakError, match="tlh"):
        speak("Hello.", EspeakVoice("tlh"))


def test_what_is_missing_is_named_and_not_the_end_of_the_process(monkeypatch, tmp_path):
    def refused(told):
        with pytest.raises(EspeakUnavailable, match=told):
            speak("Hello.", ENGLISH)

    with monkeypatch.context() as without_data:
        without_data.setattr("espeakng_loader.get_data_path", lambda: str(tmp_path))
        refused("data")
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr("espeakng_loader.get_library_path", lambda: str(broken))
    refused(r"libespeak-ng\.so")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    refused("espeakng-loader")
