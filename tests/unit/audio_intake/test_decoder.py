"""What the decoder makes of sound files, called in this process: the others pay for a new one."""

import contextlib
import io
import struct
import sys

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.audio_intake import decoder
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.errors import InvalidReferenceAudio
from storycore_tts.sound import decoders
from storycore_tts.sound.decoders import SNDFILE, UndecodableAudio, decoder_of
from storycore_tts.sound.files import decode

from .conftest import FFMPEG

ACCEPTED = [
    *(("WAV", codec) for codec in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("FLAC", "PCM_S8"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
]
PACKED = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), *ACCEPTED[-4:]]
TELEPHONES = ["ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"]
REFUSALS = (UndecodableAudio, InvalidReferenceAudio)


def decoded(data, max_seconds=120.0):
    """Decode a file as the child does; the parent makes the same of its answer."""
    blocks, rate = [np.zeros(0, np.float32)], 0
    for tag, body in decoder._messages(decoders, data, decoder_of(data) or SNDFILE, max_seconds):
        if tag == b"R":
            (rate,) = struct.unpack("<I", body)
        else:
            blocks.append(np.frombuffer(body, "<f4"))
    return ReferenceAudio(np.concatenate(blocks), rate)


@pytest.mark.parametrize(("container", "encoding"), ACCEPTED)
def test_what_is_accepted_is_what_the_domain_would_read(container, encoding, recording):
    data = recording(container, encoding, channels=2)
    found = decoded(data)
    samples, rate = decode(data)
    assert np.array_equal(found.samples, samples)
    assert found.sample_rate == rate


@pytest.mark.parametrize("codec", TELEPHONES)
def test_the_codecs_of_telephones_are_read_from_a_wav(codec, recording):
    found = decoded(recording("WAV", codec, rate=8000))
    assert found.sample_rate == 8000
    assert found.duration == pytest.approx(1, abs=0.07)  # blocks of ADPCM are whole
    assert np.abs(found.samples[:8000]).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", FFMPEG)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_phones_and_browsers_record_is_read(kind, channels, recorded):
    data = recorded(kind, channels=channels)
    found = decoded(data)
    assert found.sample_rate == FFMPEG[kind][2]
    assert found.duration == pytest.approx(1, abs=0.07)
    middle = found.samples[found.sample_rate // 4 : found.sample_rate * 3 // 4]
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(found.samples, decode(data)[0])


@pytest.mark.parametrize("kind", FFMPEG)
def test_the_limits_hold_for_them_too(kind, recorded):
    with pytest.raises(UndecodableAudio, match="longer than 2 s"):
        decoded(recorded(kind, seconds=5), 2)
    data = recorded(kind)
    for share in (0.01, 0.3, 0.7):
        with contextlib.suppress(REFUSALS):
            assert decoded(data[: int(len(data) * share)]).duration < 0.95


@pytest.mark.parametrize(
    ("kind", "words"),
    [("webm", r"ends after 0\.[4-8]\d of the 1\.\d\d s"), ("m4a, its header first", "readable")],
)
def test_a_recording_of_a_phone_whose_end_is_missing_is_refused(kind, words, recorded):
    data = recorded(kind)
    with pytest.raises(UndecodableAudio, match=words):
        decoded(data[: int(len(data) * 0.7)])


def test_a_film_without_sound_and_codecs_that_are_not_known_are_refused():
    for codec, words in (("mpeg4", "no sound"), ("ac3", "it holds ac3")):
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as file:
            if codec == "mpeg4":
                stream = file.add_stream(codec, rate=25)
                stream.width = stream.height = 64
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
            else:
                stream = file.add_stream(codec, rate=48_000, layout="mono")
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1536), np.float32), "fltp", "mono")
                frame.sample_rate = 48_000
            file.mux([*stream.encode(frame), *stream.encode(None)])
        with pytest.raises(UndecodableAudio, match=words):
            decoded(buffer.getvalue())


def test_without_the_extra_its_name_is_told(recorded, monkeypatch):
    data = recorded("m4a")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UndecodableAudio, match=r"storycore-tts\[media\]"):
        decoded(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.7\n" + b"RIFF....WAVE",
        b"<!doctype html><script>" + b"\xff\xfb\x90\x00" * 9,
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"FORM\x00\x00\x00\x008SVX",
        b"OggS",
        b"OggS" + bytes(22) + b"\x01\x1e" + b"\x80theora",
        b"OggS" + bytes(22) + b"\x01\x33" + b"\x7fFLAC" + bytes(60),
        b"\xff\xd8\xff\xe0JFIF",  # a JPEG begins like a frame of layer I to III
        b"\xff\xfe<\x00h\x00",  # UTF-16
        b"#EXTM3U\nfile:///etc/passwd",
        b"ffconcat version 1.0\nfile /etc/passwd",
    ],
)
def test_anything_else_is_of_no_kind(data):
    assert decoder_of(data) is None


@pytest.mark.parametrize("codec", ["GSM610", "G721_32"])
def test_other_codecs_in_a_wav_are_refused_by_name(codec, recording):
    with pytest.raises(UndecodableAudio, match=r"it holds .* in WAV"):
        decoded(recording("WAV", codec, rate=8000))


def test_what_a_header_cannot_say_is_refused(wav):
    with pytest.raises(UndecodableAudio, match="33 channels"):
        decoded(wav(channels=33))
    for rate in (0, 3999, 384_001, 2**32 - 1):
        with pytest.raises(REFUSALS):
            decoded(wav(rate=rate))
    for tag in (0, 2, 0x11, 0x31, 0x45, 0x50, 0xFFFE, 0xFFFF):
        with pytest.raises(REFUSALS):
            decoded(wav(tag))


@pytest.mark.parametrize(("container", "encoding"), PACKED)
def test_a_small_file_that_unpacks_to_more_than_is_allowed(container, encoding, recording):
    assert decoded(recording(container, encoding, seconds=1.9), 2).duration <= 2
    with pytest.raises(UndecodableAudio, match="longer than 2 s"):
        decoded(recording(container, encoding, seconds=30), 2)


def test_a_header_that_announces_gigabytes_costs_nothing(wav, recording):
    for announced in (2**31 - 1, 2**32 - 1):
        for channels in (1, 1000, 65_535):
            with contextlib.suppress(REFUSALS):
                assert decoded(wav(announced=announced, channels=channels)).duration <= 1.01
    flac = recording("FLAC")
    packed = int.from_bytes(flac[18:26], "big") >> 36 << 36 | 2**36 - 1
    with pytest.raises(REFUSALS):
        decoded(flac[:18] + packed.to_bytes(8, "big") + flac[26:])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value, wav):
    with pytest.raises(InvalidReferenceAudio, match="not finite"):
        decoded(wav(3, bits=32, body=np.full(24_000, value, "<f4").tobytes()))


@pytest.mark.parametrize(("container", "encoding"), PACKED)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.7])
def test_a_truncated_file_is_no_whole_one(container, encoding, share, recording):
    data = recording(container, encoding)
    with contextlib.suppress(REFUSALS):
        assert decoded(data[: int(len(data) * share)]).duration < 0.9


def test_an_mp3_that_announces_more_than_it_holds_is_refused(recording):
    data = recording("MP3", "MPEG_LAYER_III")
    with pytest.raises(UndecodableAudio, match="ends after 15599 of the 24000 frames"):
        decoded(data[: int(len(data) * 0.7)])


def test_an_m4a_whose_header_names_no_codec_is_refused(recorded):
    with pytest.raises(UndecodableAudio, match="unknown codec"):
        decoded(recorded("m4a").replace(b"stbl", b"rtbl"))


def test_what_lies_before_and_behind_the_sound_is_passed_over(recording):
    data = recording()
    chunk = b"LIST" + struct.pack("<I", 60) + b"cos\nsystem\n(S'touch /tmp/x'\ntR.".ljust(60)
    found = decoded(data[:12] + chunk + data[12:] + b"PK\x03\x04" + b"import os" * 100)
    assert found.duration == pytest.approx(1, abs=0.03)


STARTS = [b"RIFF\xff\xff\xff\xffWAVE", b"fLaC", b"ID3\x04\x00\x00\x00\x00\x00\x00", b"\xff\xfb\x90"]
FLIPS = st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), min_size=1, max_size=8)


@st.composite
def damaged(draw, recording, recorded):
    """A sound file with some bits flipped and perhaps without its end; or random bytes."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(STARTS)) + draw(st.binary(max_size=500))
    kind = draw(st.sampled_from([*PACKED, *FFMPEG]))
    data = bytearray(recorded(kind) if kind in FFMPEG else recording(*kind))
    span = min(len(data), 120) if draw(st.booleans()) else len(data)
    for where, bit in draw(FLIPS):
        data[int(where * span)] ^= 1 << bit
    return bytes(data[: int(len(data) * draw(st.sampled_from([1.0, 1.0, 0.8, 0.3])))])


@pytest.mark.parametrize("examples", [20, pytest.param(5000, marks=pytest.mark.soak)])
def test_a_damaged_file_is_a_reference_or_a_refusal(examples, recording, recorded):
    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(damaged(recording, recorded))
    def check(data):
        with contextlib.suppress(REFUSALS):
            assert isinstance(decoded(data), ReferenceAudio)

    check()
