"""Recordings that are read and recordings that are refused, each in a process of its own."""

import numpy as np
import pytest

from storycore_tts.adapters.audio_intake import IntakeLimits, RecordingReader
from storycore_tts.errors import InvalidReferenceAudio, InvalidRequest

from .conftest import FFMPEG
from .test_decoder import decoded


async def test_a_recording_is_decoded(recording, reader):
    data = recording("FLAC", channels=2)
    found = await reader.read(data, transcript=" Ah. ")
    assert np.array_equal(found.samples, decoded(data).samples)
    assert (found.sample_rate, found.transcript) == (24_000, "Ah.")


@pytest.mark.parametrize("kind", FFMPEG)
async def test_what_phones_and_browsers_record_is_decoded_there_too(kind, recorded, reader):
    found = await reader.read(recorded(kind))
    assert np.array_equal(found.samples, decoded(recorded(kind)).samples)


async def test_what_is_refused_is_refused_with_a_reason(recording, reader):
    bomb = recording("FLAC", seconds=1200, rate=8000, loudness=0)
    assert len(bomb) < 200_000
    for data, reason in (
        (recording("WAV", "GSM610", rate=8000), r"it holds .* in WAV"),
        (bomb, "longer than 120 s"),
        (recording("FLAC")[:40], "not a readable audio file"),
        (recording(seconds=0.2), "0.20 s"),
        (recording(loudness=0), "silent"),
    ):
        with pytest.raises(InvalidReferenceAudio, match=reason):
            await reader.read(data)


async def test_what_is_no_sound_file_is_refused_with_what_is_accepted(reader):
    with pytest.raises(InvalidReferenceAudio, match="first bytes") as caught:
        await reader.read(b"%PDF-1.7 RIFF....WAVE")
    for kind in ("wav", "flac", "mp3", "ogg", "aiff", "m4a", "webm"):
        assert kind in caught.value.hint


async def test_too_many_bytes_and_words_that_cannot_be_spoken_are_refused(recording):
    async with RecordingReader(IntakeLimits(max_bytes=100_000)) as reader:
        with pytest.raises(InvalidReferenceAudio, match="the maximum is 100000"):
            await reader.read(recording(seconds=10))
        with pytest.raises(InvalidRequest, match="transcript"):
            await reader.read(recording(), transcript="\x00")
