"""The watermark with its real networks, on speech-like sound."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from storycore_tts.adapters import perth
from storycore_tts.adapters.perth.networks import Networks
from storycore_tts.errors import MarkingFailed
from storycore_tts.service_container import make_inspector
from storycore_tts.settings import QwenTTSConfig
from storycore_tts.sound.files import decode, encode

if reason := perth.missing():
    pytest.skip(f"{reason}: pip install 'storycore-tts[watermark]'", allow_module_level=True)

RATE = 24_000


def speech(seconds, rate=RATE):
    """Return sound like speech: noise and a voice of 120 Hz, in syllables of a quarter second."""
    times = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 120 * k * times) / k for k in range(1, 40))
    noise = np.random.default_rng(1).standard_normal(len(times))
    return (0.1 * (voice + 0.3 * noise) * np.sin(np.pi * 4 * times) ** 2).astype(np.float32)


@pytest.fixture(scope="module")
def watermark():
    return perth.PerthWatermark()


def test_too_little_memory_is_a_failed_mark():
    def full(_):
        raise RuntimeError("not enough memory: you tried to allocate 190 MB")

    networks = Networks(encoder=full, decoder=full)
    for use in (networks.mark, networks.score):
        with pytest.raises(MarkingFailed, match=r"cannot be computed: not enough memory"):
            use(speech(1), RATE)


def test_a_mark_is_found_and_none_is_not(watermark):
    plain = speech(2)
    marked = watermark.embed(plain, RATE)
    assert watermark.detect(marked, RATE).found
    assert not watermark.detect(plain, RATE).found
    assert (marked.shape, marked.dtype) == (plain.shape, np.float32)
    assert not np.array_equal(marked, plain)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_it_works_at_any_rate(watermark, rate):
    marked = watermark.embed(speech(1, rate), rate)
    assert watermark.detect(marked, rate).found


def test_the_same_samples_get_the_same_mark(watermark):
    plain = speech(1)
    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(lambda _: watermark.embed(plain, RATE), range(4))
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("size", [37, 2400, 30_000])
def test_a_stream_is_the_same_as_the_whole(watermark, size):
    plain, stream = speech(1.3), watermark.stream(RATE)
    blocks = [stream.feed(plain[at : at + size]) for at in range(0, len(plain), size)]
    joined = np.concatenate([*blocks, stream.finish()])
    assert joined == pytest.approx(watermark.embed(plain, RATE), abs=1e-5)


def test_a_stream_is_at_most_a_third_of_a_second_late(watermark):
    stream = watermark.stream(RATE)
    assert len(stream.feed(speech(1))) >= 2 / 3 * RATE


@pytest.mark.parametrize("samples", [0, 1, 240, 800, 24_001])
def test_no_sample_is_lost(watermark, samples):
    assert len(watermark.embed(speech(2)[:samples], RATE)) == samples


def test_silence_stays_silent_and_has_no_mark(watermark):
    silence = np.zeros(RATE, np.float32)
    assert not watermark.embed(silence, RATE).any()
    assert watermark.detect(silence, RATE).score == 0


def test_peaks_stay_within_full_scale(watermark):
    loud = speech(1)
    loud /= np.abs(loud).max()
    assert np.abs(watermark.embed(np.sign(loud), RATE)).max() == 1
    assert watermark.detect(watermark.embed(loud, RATE), RATE).found


def test_a_marked_part_of_a_long_recording_is_found(watermark):
    plain = speech(40)
    mixed = np.concatenate([plain[: 20 * RATE], watermark.embed(plain[: 10 * RATE], RATE), plain])
    assert watermark.detect(mixed, RATE).found


def test_nothing_is_found_where_the_detector_would_hear_a_mark_in_anything(watermark):
    assert watermark.detect(speech(1, 4_000), 4_000).score == 0


async def test_inspection_finds_it_in_a_coded_file_without_tags(watermark):
    async def read_samples(data):
        return decode(data)

    inspector = make_inspector(QwenTTSConfig, read_samples, max_bytes=2**20)
    found = await inspector.inspect(encode(watermark.embed(speech(3), RATE), RATE, ".ogg"))
    assert found.is_watermarked
    assert "watermark of synthetic speech was found" in found.sentence
    assert not (await inspector.inspect(encode(speech(3), RATE, ".ogg"))).is_watermarked
