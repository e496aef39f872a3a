"""The binding: what goes in is text, what comes out depends on nothing else."""

import sys
import threading

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
    together = [None] * len(texts)

    def work(n):
        together[n] = speak(texts[n], ENGLISH)[0]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_more_text_takes_longer_and_a_faster_pace_less():
    assert length("one two three four") > length("one two") > length("one") > 0.2
    assert length("one two three", EspeakVoice("en-us", words_per_minute=300)) < 0.8 * length(
        "one two three", EspeakVoice("en-us", words_per_minute=120)
    )


@pytest.mark.parametrize("setting", [{"pitch": 80}, {"pitch_range": 90}])
def test_pitch_and_range_are_heard(setting):
    plain, _ = speak("Hello there.", ENGLISH)
    other, _ = speak("Hello there.", EspeakVoice("en-us+f3", **setting))
    assert len(plain) != len(other) or not np.array_equal(plain, other)


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


def test_a_long_run_without_spaces_is_spoken_to_its_end():
    japanese = EspeakVoice("ja+f5")
    assert length(KANA * 4, japanese) > 3.5 * length(KANA, japanese)


def test_an_empty_line_is_a_pause():
    assert length("one\n\ntwo") > length("one two") + 0.1


def test_an_empty_text_gives_next_to_nothing():
    assert length("") < 0.1


def test_cancelling_stops_the_synthesis_in_the_middle():
    looks = 0

    def after_twenty_looks():
        nonlocal looks
        looks += 1
        return looks > 20

    before, _ = speak("And now?", ENGLISH)
    with pytest.raises(SpeakCancelled):
        speak("word " * 500, ENGLISH, cancelled=after_twenty_looks)
    assert looks == 21
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


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(EspeakUnavailable, match="espeakng-loader"):
        speak("Hello.", ENGLISH)


def test_a_broken_library_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr("espeakng_loader.get_library_path", lambda: str(broken))
    with pytest.raises(EspeakUnavailable, match=r"libespeak-ng\.so"):
        speak("Hello.", ENGLISH)


def test_missing_data_is_an_error_and_not_the_end_of_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr("espeakng_loader.get_data_path", lambda: str(tmp_path))
    with pytest.raises(EspeakUnavailable, match="data"):
        speak("Hello.", ENGLISH)
