"""Sound files: encoding, decoding, and files that are broken in every way."""

import io
import struct
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.errors import InvalidReferenceAudio, InvalidRequest
from storycore_tts.sound import decoders
from storycore_tts.sound.decoders import UndecodableAudio
from storycore_tts.sound.files import SUFFIXES, check_suffix, decode, encode, encode_exactly
from storycore_tts.sound.samples import SILENCE_PEAK, is_silent, peak

KINDS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "MS_ADPCM"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
    ("CAF", "PCM_16"),
    ("W64", "PCM_16"),
]


@contextmanager
def at_most(megabytes):
    """Fail if more memory than that is allocated at any moment."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < megabytes * 1_000_000


def reference_or_refusal(data):
    """Return what ``from_bytes`` makes of it, or None; any error but a refusal gets through."""
    try:
        reference = ReferenceAudio.from_bytes(data)
    except InvalidReferenceAudio:
        return None
    assert reference.samples.dtype == np.float32
    assert reference.samples.ndim == 1
    assert np.isfinite(reference.samples).all()
    assert 0.5 <= reference.duration <= 600
    assert peak(reference.samples) >= SILENCE_PEAK
    return reference


@pytest.mark.parametrize(("container", "encoding"), KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_files_of_every_kind_become_mono(container, encoding, channels, audio_file, tone):
    data = audio_file(container, encoding, channels=channels, rate=48_000)
    reference = ReferenceAudio.from_bytes(data, transcript="Ah.")
    assert (reference.sample_rate, reference.transcript) == (48_000, "Ah.")
    assert reference.duration == pytest.approx(1.0, abs=0.1)
    assert np.sqrt(np.mean(reference.samples**2)) == pytest.approx(0.5 / np.sqrt(2), abs=0.03)


def sound_file(*channels):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack(channels, 1), 8000, format="WAV", subtype="DOUBLE")
    return buffer.getvalue()


def test_channels_are_averaged():
    samples, rate = decode(sound_file(np.full(100, 0.5), np.full(100, -0.25)))
    assert rate == 8000
    assert samples.tolist() == [0.125] * 100


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_lossless_files_are_exact_to_sixteen_bits_and_clip_what_is_too_loud(suffix, tone):
    samples, _ = decode(encode(tone(), 24_000, suffix))
    assert np.abs(samples - tone()).max() <= 1 / 32768
    loud, _ = decode(encode(np.tile([2.0, -2.0], 500).astype(np.float32), 24_000, suffix))
    assert loud[::2].min() > 0.99
    assert loud[1::2].max() < -0.99


def test_pcm_is_sixteen_bits_little_endian_and_nothing_else(tone):
    data = np.frombuffer(encode(tone(), 24_000, ".pcm"), "<i2")
    assert np.abs(data / 32768 - tone()).max() <= 1 / 32768
    assert encode(np.array([2.0, -2.0, 0.0], np.float32), 24_000, ".pcm") == (
        b"\xff\x7f\x00\x80\x00\x00"
    )


def test_an_aac_file_that_begins_with_a_pause_is_whole():
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 24_000)
    samples = np.concatenate([np.zeros(72_000), noise]).astype(np.float32)
    decoded, rate = decode(encode(samples, 24_000, ".aac"))
    assert len(decoded) / rate == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("suffix", [".mp3", ".opus", ".aac", ".m4a"])
def test_a_sample_rate_that_a_format_lacks_is_refused_with_one_that_it_has(suffix, tone):
    with pytest.raises(InvalidRequest, match="at 23456 Hz") as caught:
        encode(tone(), 23_456, suffix)
    assert "24000" in caught.value.hint


@pytest.mark.parametrize("rate", [8_000, 24_000, 192_000])
def test_exact_files_give_back_the_same_samples_and_hold_nothing_else(rate, tone):
    """No time of day, say: the same reference, sent again, would be another one."""
    samples = tone()
    data = encode_exactly(samples, rate)
    assert np.array_equal(decode(data)[0], samples)
    assert decode(data)[1] == rate
    assert len(data) == 58 + samples.nbytes  # RIFF, fmt, fact and data have so much
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.subtype, file.channels, file.frames) == ("FLOAT", 1, len(samples))


@pytest.mark.parametrize(
    "path", ["a.wav", "a.WAV", "x/y.Flac", "a.b.mp3", "a.ogg", "a.OPUS", "a.aac", "a.m4a", "a.pcm"]
)
def test_a_known_suffix_is_returned_in_lower_case(path):
    assert check_suffix(path) == f".{path.rpartition('.')[2].lower()}"


@pytest.mark.parametrize("path", ["a", "a.", ".wav", "a.webm", "a.wav.txt", "", "wav", "a.wav/b"])
def test_another_suffix_is_refused_with_the_known_ones(path):
    with pytest.raises(InvalidRequest) as caught:
        check_suffix(path)
    assert all(suffix in caught.value.hint for suffix in SUFFIXES)


@pytest.mark.parametrize(
    ("samples", "silent"),
    [([], True), ([0.0], True), ([0.003, -0.003], True), ([0.0, -0.0032], False), ([1.0], False)],
)
def test_silence_is_what_stays_below_minus_fifty_decibels(samples, silent):
    assert is_silent(np.array(samples, np.float32)) is silent


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"Hello", b"RIFF", b"fLaC", b"OggS", b"ID3"])
def test_what_is_no_audio_is_refused_with_advice(data):
    with pytest.raises(InvalidReferenceAudio, match="Cannot read my file") as caught:
        ReferenceAudio.from_bytes(data, name="my file")
    assert "ffmpeg" in caught.value.hint
    assert " object at 0x" not in str(caught.value)


@pytest.mark.parametrize(
    "values", [(np.nan,), (np.inf,), (np.inf, -np.inf), (3.4e38, 3.4e38), (1e300,)], ids=str
)
def test_numbers_that_are_not_finite_or_whose_average_is_not_are_refused(values, tone):
    channels = [tone().astype(np.float64) for _ in values]
    for channel, value in zip(channels, values, strict=True):
        channel[100] = value
    with pytest.raises(UndecodableAudio, match="not finite"):
        decode(sound_file(*channels))


@pytest.mark.parametrize("total", [2**30, 2**36 - 1])
def test_a_flac_header_that_announces_gigabytes_does_not_allocate_them(total, audio_file):
    data = audio_file("FLAC")
    packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    data = data[:18] + packed.to_bytes(8, "big") + data[26:]
    with at_most(megabytes=32), pytest.raises(InvalidReferenceAudio, match="Cannot read") as caught:
        ReferenceAudio.from_bytes(data)
    assert ".." not in caught.value.message


def test_a_file_that_ends_before_its_header_says_is_refused(monkeypatch):
    class Short:
        frames, samplerate, channels, format = 9, 8000, 1, "WAV"
        left = iter([4, 3, 0])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, *_, **__):
            return np.zeros((next(self.left), 1), np.float32)

    monkeypatch.setattr(decoders.soundfile, "SoundFile", lambda _: Short())
    with pytest.raises(UndecodableAudio, match="ends after 7 of the 9 frames"):
        decode(b"")


@pytest.mark.parametrize(
    ("place", "form", "values"),
    [
        (40, "<I", (2**32 - 1,)),  # four gigabytes of data
        (22, "<HI", (0, 24_000)),  # channels and rate
        (22, "<HI", (65_535, 24_000)),
        (22, "<HI", (1, 0)),
        (22, "<HI", (1, 2**31)),
    ],
)
def test_a_wav_header_of_impossible_shape_is_refused(place, form, values, audio_file):
    data = bytearray(audio_file())
    struct.pack_into(form, data, place, *values)
    with at_most(megabytes=32):
        reference = reference_or_refusal(bytes(data))
    assert reference is None or (place == 40 and reference.duration == 1.0)


def test_a_file_that_unpacks_to_more_than_any_speech_is_left_alone(audio_file):
    with pytest.raises(UndecodableAudio, match="more than 20000 frames"):
        decode(audio_file("FLAC"), most_frames=20_000)


def test_decoding_in_blocks_is_decoding_at_once(audio_file):
    whole, _ = decode(audio_file("OGG", "VORBIS"))
    blocks, _ = decode(audio_file("OGG", "VORBIS"), block=777)
    assert np.array_equal(blocks, whole)


@pytest.mark.parametrize(("container", "encoding"), KINDS)
def test_an_empty_or_truncated_file_is_never_taken_for_a_whole_one(container, encoding, audio_file):
    assert reference_or_refusal(audio_file(container, encoding, seconds=0)) is None
    data = audio_file(container, encoding)
    for share in (0.01, 0.1, 0.5, 0.9):
        reference = reference_or_refusal(data[: int(len(data) * share)])
        assert reference is None or reference.duration < 0.95


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 7)), min_size=1, max_size=8),
    near_the_header=st.booleans(),
)
def test_a_file_with_flipped_bits_is_a_reference_or_a_refusal(
    audio_file, kind, flips, near_the_header
):
    damaged = bytearray(audio_file(*kind))
    span = min(len(damaged), 120) if near_the_header else len(damaged)
    for where, bit in flips:
        damaged[int(where * span)] ^= 1 << bit
    with at_most(megabytes=64):
        reference_or_refusal(bytes(damaged))


@settings(max_examples=50)
@given(
    st.sampled_from(
        [b"", b"RIFF\xff\xff\xff\xffWAVE", b"fLaC", b"OggS\x00\x02", b"ID3", b"\xff\xfb"]
    ),
    st.binary(max_size=500),
)
def test_random_bytes_are_a_reference_or_a_refusal(start, rest):
    reference_or_refusal(start + rest)
