"""Pace without pitch, and pitch without pace, measured."""

import asyncio
import sys
from itertools import product

import numpy as np
import pytest

from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.pace import Changer, pitched, stretched

RATE = 24_000
SPEEDS = [0.25, 0.5, 0.8, 1.25, 2.0, 3.0, 4.0]
SEMITONES = [-12, -1, 0.5, 7, 12]


def fundamental(samples):
    """Return the loudest frequency in Hz, between the bins of the transform."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    return spectrum.argmax() * RATE / 2**18


def decibels(samples, reference):
    return 10 * np.log10(np.mean(samples**2) / np.mean(reference**2))


@pytest.fixture(scope="module")
def speech():
    request = SpeechRequest("The quick brown fox jumps over the lazy dog.", "Ryan")
    return asyncio.run(DraftAdapter().synthesize(request)).samples


def loud_share(samples):
    """Return the share of 20 ms frames that hold sound: speech has pauses, noise and hum none."""
    frames = samples[: len(samples) // 480 * 480].reshape(-1, 480)
    return float((np.sqrt((frames**2).mean(axis=1)) > 0.01).mean())


def is_still_speech(found, speech):
    assert decibels(found, speech) == pytest.approx(0, abs=1)
    assert loud_share(found) == pytest.approx(loud_share(speech), abs=0.15)


@pytest.mark.parametrize("speed", SPEEDS)
def test_another_pace_has_the_right_length_and_the_same_pitch(speed, tone, speech):
    found = stretched(tone(2), RATE, speed)
    assert found.dtype == np.float32
    assert len(found) == round(2 * RATE / speed)
    assert fundamental(found) == pytest.approx(220, rel=0.01)
    assert decibels(found, tone(2)) == pytest.approx(0, abs=0.5)
    is_still_speech(stretched(speech, RATE, speed), speech)


@pytest.mark.parametrize("semitones", SEMITONES)
def test_another_pitch_has_the_same_length_and_the_right_pitch(semitones, tone, speech):
    found = pitched(tone(2), RATE, semitones)
    assert found.dtype == np.float32
    assert len(found) == 2 * RATE
    assert fundamental(found) == pytest.approx(220 * 2 ** (semitones / 12), rel=0.01)
    assert decibels(found, tone(2)) == pytest.approx(0, abs=0.5)
    is_still_speech(pitched(speech, RATE, semitones), speech)


def test_speed_one_and_no_semitones_are_the_same_samples(tone):
    samples = tone()
    assert stretched(samples, RATE, 1) is samples
    assert stretched(samples, RATE, 1.0) is samples
    assert pitched(samples, RATE, 0) is samples


def test_words_stay_where_they_belong():
    """A click at two thirds is at two thirds afterwards: no word is lost at either end."""
    samples = np.zeros(3 * RATE, np.float32)
    samples[2 * RATE : 2 * RATE + 240] = 0.8
    for speed in (0.5, 1.5, 4.0):
        found = stretched(samples, RATE, speed)
        assert np.abs(found).argmax() / RATE == pytest.approx(2 / speed, abs=0.06)


def test_nothing_is_louder_than_full_scale(tone):
    loud = np.sign(tone(2)).astype(np.float32)
    for speed in (0.3, 0.9, 1.7, 3.1):
        assert np.abs(stretched(loud, RATE, speed)).max() <= 1
    for semitones in (-5, 4):
        assert np.abs(pitched(loud, RATE, semitones)).max() <= 1


def test_clips_and_minutes_at_any_sample_rate_work_alike(tone):
    for seconds, speed in product((0.1, 20.0), (0.25, 1.5, 4.0)):
        found = stretched(tone(seconds), RATE, speed)
        assert len(found) / RATE == pytest.approx(seconds / speed, rel=0.03)
        assert decibels(found, tone(seconds)) == pytest.approx(0, abs=1)
    for rate in (8000, 48_000):
        assert len(stretched(tone(1, rate), rate, 1.6)) == round(rate / 1.6)
        assert len(pitched(tone(1, rate), rate, -3)) == rate
    for samples in ([], [0.5], [0.1] * 100):  # next to nothing is no trouble
        few = np.array(samples, np.float32)
        assert abs(len(stretched(few, RATE, 2)) - len(few) / 2) < 1
        assert len(pitched(few, RATE, 2)) == len(few)


def test_impossible_speeds_and_pitches_are_refused(tone):
    for speed in (0.24, 4.01, 0, -1, float("nan"), float("inf"), "2", None, True):
        with pytest.raises(InvalidRequest, match="speed"):
            stretched(tone(), RATE, speed)
    for semitones in (-12.1, 13, float("nan"), "1", None):
        with pytest.raises(InvalidRequest, match="semitones"):
            pitched(tone(), RATE, semitones)


def test_without_the_extra_there_is_advice(tone, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for call in (lambda: stretched(tone(), RATE, 2), lambda: pitched(tone(), RATE, 2)):
        with pytest.raises(InvalidRequest, match=r"pip install 'storycore-tts\[media\]'"):
            call()


@pytest.mark.parametrize(("speed", "semitones"), [(1.6, 0.0), (0.25, 0.0), (1.0, -5.0), (0.7, 3.0)])
def test_in_pieces_it_is_the_same_speech_and_comes_in_time(speed, semitones, speech):
    changer = Changer(RATE, speed=speed, semitones=semitones)
    pieces = [changer.feed(speech[i : i + 2400]) for i in range(0, len(speech), 2400)]
    come = sum(map(len, pieces)) / RATE
    assert come == pytest.approx(len(speech) / RATE / speed, abs=0.3 / speed)
    found = np.concatenate([*pieces, changer.finish()])
    whole = pitched(stretched(speech, RATE, speed), RATE, semitones)
    assert len(found) == len(whole)
    assert decibels(found, whole) == pytest.approx(0, abs=0.3)
    is_still_speech(found, speech)
