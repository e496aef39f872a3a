"""Recordings that are read, and recordings that are refused, with the real decoder."""

import asyncio
import struct
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.intake import IntakeLimits, RecordingReader
from storycore_tts.domain.audio import decode
from storycore_tts.domain.errors import InvalidReferenceAudio, InvalidRequest
from storycore_tts.domain.requests import ReferenceAudio

ACCEPTED = [
    *(("WAV", codec) for codec in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
]
REFUSED = ["IMA_ADPCM", "MS_ADPCM", "GSM610", "ULAW", "ALAW", "G721_32"]
MUTABLE = [
    ("WAV", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
]


@pytest.mark.parametrize(("container", "encoding"), ACCEPTED)
async def test_what_is_accepted_is_what_the_domain_would_read(
    container, encoding, recording, reader
):
    data = recording(container, encoding, channels=2)
    found = await reader.read(data, transcript=" Ah. ")
    samples, rate = decode(data)
    assert np.array_equal(found.samples, samples)
    assert (found.sample_rate, found.transcript) == (rate, "Ah.")


@pytest.mark.parametrize("codec", REFUSED)
async def test_other_codecs_in_a_wav_are_refused_by_name(codec, recording, reader):
    with pytest.raises(InvalidReferenceAudio, match=r"it holds .* in WAV"):
        await reader.read(recording("WAV", codec, rate=8000))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04....", b"%PDF-1.7 RIFF....WAVE"])
async def test_what_is_no_sound_file_is_refused_with_what_is_accepted(data, reader):
    with pytest.raises(InvalidReferenceAudio, match="first bytes") as caught:
        await reader.read(data)
    for kind in ("wav", "flac", "mp3", "ogg", "aiff"):
        assert kind in caught.value.hint


async def test_a_sound_file_with_a_zip_behind_it_is_just_the_sound(recording, reader):
    found = await reader.read(recording() + b"PK\x03\x04" + b"import os" * 100)
    assert found.duration == pytest.approx(1, abs=0.03)


async def test_too_many_bytes_are_refused_before_anything_is_started(recording):
    reader = RecordingReader(IntakeLimits(max_bytes=1000))
    with pytest.raises(InvalidReferenceAudio, match="1000 are the most"):
        await reader.read(recording())
    await reader.aclose()


@pytest.mark.parametrize(("seconds", "loudness", "match"), [(0.2, 0.5, "0.20 s"), (1, 0, "silent")])
async def test_the_domains_checks_apply(seconds, loudness, match, recording, reader):
    with pytest.raises(InvalidReferenceAudio, match=match):
        await reader.read(recording(seconds=seconds, loudness=loudness))


async def test_a_transcript_that_cannot_be_spoken_is_refused(recording, reader):
    with pytest.raises(InvalidRequest, match="transcript"):
        await reader.read(recording(), transcript="\x00")


@pytest.mark.parametrize(("container", "encoding"), MUTABLE)
async def test_a_small_file_that_unpacks_to_more_than_is_allowed(container, encoding, recording):
    async with RecordingReader(IntakeLimits(max_seconds=2)) as reader:
        assert (await reader.read(recording(container, encoding, seconds=1.9))).duration <= 2
        with pytest.raises(InvalidReferenceAudio, match="longer than 2 s"):
            await reader.read(recording(container, encoding, seconds=30))


async def test_much_silence_in_a_few_kilobytes_is_refused_quickly(recording, reader):
    bomb = recording("FLAC", seconds=1200, rate=8000, loudness=0)
    assert len(bomb) < 200_000
    begun = time.perf_counter()
    with pytest.raises(InvalidReferenceAudio, match="longer than 120 s"):
        await reader.read(bomb)
    assert time.perf_counter() - begun < 15


@pytest.mark.parametrize("announced", [2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("channels", [1, 2, 1000, 65_535])
async def test_a_header_that_announces_gigabytes_costs_nothing(announced, channels, wav, reader):
    try:
        found = await reader.read(wav(announced=announced, channels=channels))
    except InvalidReferenceAudio:
        return
    assert found.duration <= 1.01


@pytest.mark.parametrize("total", [2**30, 2**36 - 1])
async def test_a_flac_that_announces_gigabytes_costs_nothing(total, recording, reader):
    data = recording("FLAC")
    packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    with pytest.raises(InvalidReferenceAudio):
        await reader.read(data[:18] + packed.to_bytes(8, "big") + data[26:])


@pytest.mark.parametrize("rate", [0, 1, 3999, 384_001, 2**31 - 1, 2**32 - 1])
async def test_impossible_sample_rates_are_refused(rate, wav, reader):
    with pytest.raises(InvalidReferenceAudio):
        await reader.read(wav(rate=rate))


@pytest.mark.parametrize("tag", [0, 2, 6, 0x11, 0x31, 0x45, 0x50, 0xFFFE, 0xFFFF])
async def test_odd_format_tags_are_refused(tag, wav, reader):
    with pytest.raises(InvalidReferenceAudio):
        await reader.read(wav(tag))


@pytest.mark.parametrize("value", [np.nan, np.inf])
async def test_numbers_that_are_not_finite_are_refused(value, wav, reader):
    body = np.full(24_000, value, "<f4").tobytes()
    with pytest.raises(InvalidReferenceAudio, match="not finite"):
        await reader.read(wav(3, bits=32, body=body))


@pytest.mark.parametrize(("container", "encoding"), MUTABLE)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.7])
async def test_a_truncated_file_is_no_whole_one(container, encoding, share, recording, reader):
    data = recording(container, encoding)
    try:
        found = await reader.read(data[: int(len(data) * share)])
    except InvalidReferenceAudio:
        return
    assert found.duration < 0.9


async def test_nothing_that_is_read_is_imported_or_unpickled(recording, reader):
    before = set(sys.modules)
    chunk = b"LIST" + struct.pack("<I", 60) + b"cos\nsystem\n(S'touch /tmp/x'\ntR.".ljust(60)
    data = recording()
    await reader.read(data[:12] + chunk + data[12:])
    assert not {name for name in set(sys.modules) - before if "pickle" in name}


@pytest.fixture
def read():
    """Reads on one loop with one reader, whatever the number of examples; each costs a process."""
    loop = asyncio.new_event_loop()
    reader = loop.run_until_complete(_opened())

    def reference_or_refusal(data):
        begun = time.perf_counter()
        try:
            found = loop.run_until_complete(reader.read(data))
        except InvalidReferenceAudio as error:
            assert error.message.isprintable()
            return
        finally:
            assert time.perf_counter() - begun < 15
        assert isinstance(found, ReferenceAudio)

    yield reference_or_refusal
    loop.run_until_complete(reader.aclose())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _opened():
    return RecordingReader(IntakeLimits(timeout=10))


flips = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), min_size=1, max_size=8)


def mutate(data, flips, near_the_header, end):
    damaged = bytearray(data)
    span = min(len(damaged), 120) if near_the_header else len(damaged)
    for where, bit in flips:
        damaged[int(where * span)] ^= 1 << bit
    return bytes(damaged[: int(len(damaged) * end)])


def check_mutated(read, recording, kind, flips, near_the_header, end):
    read(mutate(recording(*kind), flips, near_the_header, end))


mutations = given(
    kind=st.sampled_from(MUTABLE),
    flips=flips,
    near_the_header=st.booleans(),
    end=st.sampled_from([1.0, 1.0, 0.8, 0.3]),
)
fixtures_are_shared = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=25, suppress_health_check=fixtures_are_shared)
@mutations
def test_a_damaged_file_is_a_reference_or_a_refusal(
    read, recording, kind, flips, near_the_header, end
):
    check_mutated(read, recording, kind, flips, near_the_header, end)


@pytest.mark.soak
@settings(max_examples=2000, suppress_health_check=fixtures_are_shared)
@mutations
def test_thousands_of_damaged_files_are_references_or_refusals(
    read, recording, kind, flips, near_the_header, end
):
    check_mutated(read, recording, kind, flips, near_the_header, end)


STARTS = [
    b"",
    b"RIFF\xff\xff\xff\xffWAVE",
    b"fLaC",
    b"ID3\x04\x00\x00\x00\x00\x00\x00",
    b"\xff\xfb\x90",
]


@settings(max_examples=25, suppress_health_check=fixtures_are_shared)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=500))
def test_random_bytes_are_a_reference_or_a_refusal(read, start, rest):
    read(start + rest)
