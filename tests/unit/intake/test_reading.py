"""Recordings that are read and recordings that are refused, each in a process of its own."""

import asyncio

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.intake import IntakeLimits, RecordingReader
from storycore_tts.domain.errors import InvalidReferenceAudio, InvalidRequest
from storycore_tts.domain.requests import ReferenceAudio

from .test_decoder import PACKED, decoded


async def test_a_recording_is_decoded(recording, reader):
    data = recording("FLAC", channels=2)
    found = await reader.read(data, transcript=" Ah. ")
    assert np.array_equal(found.samples, decoded(data).samples)
    assert (found.sample_rate, found.transcript) == (24_000, "Ah.")


async def test_what_is_refused_is_refused_with_a_reason(recording, reader):
    bomb = recording("FLAC", seconds=1200, rate=8000, loudness=0)
    assert len(bomb) < 200_000
    for data, reason in (
        (recording("WAV", "MS_ADPCM", rate=8000), r"it holds .* in WAV"),
        (bomb, "longer than 120 s"),
        (recording("FLAC")[:40], "no readable audio file"),
        (recording(seconds=0.2), "0.20 s"),
        (recording(loudness=0), "silent"),
    ):
        with pytest.raises(InvalidReferenceAudio, match=reason):
            await reader.read(data)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04....", b"%PDF-1.7 RIFF....WAVE"])
async def test_what_is_no_sound_file_is_refused_with_what_is_accepted(data, reader):
    with pytest.raises(InvalidReferenceAudio, match="first bytes") as caught:
        await reader.read(data)
    for kind in ("wav", "flac", "mp3", "ogg", "aiff"):
        assert kind in caught.value.hint


async def test_too_many_bytes_are_refused_before_anything_is_started(recording):
    reader = RecordingReader(IntakeLimits(max_bytes=1000))
    with pytest.raises(InvalidReferenceAudio, match="1000 are the most"):
        await reader.read(recording())
    await reader.aclose()


async def test_a_transcript_that_cannot_be_spoken_is_refused(recording, reader):
    with pytest.raises(InvalidRequest, match="transcript"):
        await reader.read(recording(), transcript="\x00")


@pytest.fixture
def read():
    """Reads on one loop with one reader, whatever the number of examples; each costs a process."""
    loop = asyncio.new_event_loop()
    reader = loop.run_until_complete(_opened())

    def reference_or_refusal(data):
        try:
            found = loop.run_until_complete(reader.read(data))
        except InvalidReferenceAudio as error:
            assert error.message.isprintable()
        else:
            assert isinstance(found, ReferenceAudio)

    yield reference_or_refusal
    loop.run_until_complete(reader.aclose())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _opened():
    return RecordingReader(IntakeLimits(timeout=10))


STARTS = [b"RIFF\xff\xff\xff\xffWAVE", b"fLaC", b"ID3\x04\x00\x00\x00\x00\x00\x00", b"\xff\xfb\x90"]
FLIPS = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), min_size=1, max_size=8)


@st.composite
def damaged(draw, recording):
    """A sound file with some bits flipped and perhaps without its end; or random bytes."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(STARTS)) + draw(st.binary(max_size=500))
    data = bytearray(recording(*draw(st.sampled_from(PACKED))))
    span = min(len(data), 120) if draw(st.booleans()) else len(data)
    for where, bit in draw(FLIPS):
        data[int(where * span)] ^= 1 << bit
    return bytes(data[: int(len(data) * draw(st.sampled_from([1.0, 1.0, 0.8, 0.3])))])


fixtures_are_shared = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=12, suppress_health_check=fixtures_are_shared)
@given(st.data())
def test_a_damaged_file_is_a_reference_or_a_refusal(read, recording, data):
    read(data.draw(damaged(recording)))


@pytest.mark.soak
@settings(max_examples=2000, suppress_health_check=fixtures_are_shared)
@given(st.data())
def test_thousands_of_damaged_files_are_references_or_refusals(read, recording, data):
    read(data.draw(damaged(recording)))
