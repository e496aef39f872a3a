"""Files that leave in pieces: they play, they hold the same sound, and they do not wait."""

import io
import sys

import av
import numpy as np
import pytest
import soundfile

from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.files import FORMATS, decode, encode
from storycore_tts.sound.stream_encoder import STREAMED, StreamEncoder

PIECE = 2400


def streamed(suffix, samples, rate=24_000, piece=PIECE):
    encoder = StreamEncoder(suffix, rate)
    pieces = [encoder.feed(samples[i : i + piece]) for i in range(0, len(samples), piece)]
    return [*pieces, encoder.finish()]


def played(data, suffix, rate=24_000):
    """Decode with FFmpeg, which is another decoder than the one that the package reads with."""
    how = {"format": "s16le", "options": {"sample_rate": str(rate), "ch_layout": "mono"}}
    with av.open(io.BytesIO(data), **(how if suffix == ".pcm" else {})) as file:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        frames = [f for frame in [*file.decode(audio=0), None] for f in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def decibels(samples, reference):
    return 10 * np.log10(np.mean(samples**2) / np.mean(reference**2))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("seconds", [0.1, 3.3])
def test_whole_files_play_elsewhere_and_are_what_their_suffix_says(suffix, seconds, tone):
    samples = tone(seconds)
    data = encode(samples, 24_000, suffix)
    found = played(data, suffix)
    assert len(found) / 24_000 == pytest.approx(seconds, abs=0.09)  # two aac frames of padding
    assert np.quantile(np.abs(found), 0.99) == pytest.approx(0.5, abs=0.08)
    if seconds > 1:
        assert decibels(found, samples) == pytest.approx(0, abs=0.2)
    if suffix not in (".aac", ".m4a", ".pcm"):
        file, said = soundfile.info(io.BytesIO(data)), FORMATS[suffix]
        assert (file.samplerate, file.channels) == (24_000, 1)
        assert (file.format, file.subtype) == (said.container, said.encoding)


@pytest.mark.parametrize("suffix", STREAMED)
def test_joined_pieces_play_with_the_same_length_and_loudness_and_come_in_time(suffix, tone):
    short = played(b"".join(streamed(suffix, tone(0.1))), suffix)
    assert len(short) / 24_000 == pytest.approx(0.1, abs=0.09)
    pieces = streamed(suffix, tone(5))
    assert sum(map(len, pieces[:5])) > 0  # after half a second
    assert len(pieces[-1]) < 0.1 * sum(map(len, pieces))
    found = played(b"".join(pieces), suffix)
    assert len(found) / 24_000 == pytest.approx(5, abs=0.09)
    assert decibels(found, tone(5)) == pytest.approx(0, abs=0.6)  # lame turns down a little
    if suffix in (".wav", ".mp3", ".opus"):  # libsndfile reads these streams as well
        samples, rate = decode(b"".join(pieces))
        assert len(samples) / rate == pytest.approx(5, abs=0.09)


@pytest.mark.parametrize("suffix", STREAMED)
def test_empty_pieces_and_odd_sizes_do_no_harm(suffix, tone):
    encoder, samples = StreamEncoder(suffix), tone()
    pieces = [np.zeros(0, np.float32), samples[:1], samples[1:5000], samples[5000:]]
    data = b"".join([*(encoder.feed(piece) for piece in pieces), encoder.finish()])
    found = played(data, suffix)
    assert len(found) / 24_000 == pytest.approx(1, abs=0.09)
    if suffix in (".wav", ".pcm", ".flac"):  # exact to sixteen bits
        assert np.abs(found - samples).max() <= 1 / 32768


def test_the_header_of_a_wav_leaves_room_for_any_length(tone):
    first = StreamEncoder(".wav").feed(tone(0.1))
    assert first[:8] == b"RIFF\xff\xff\xff\xff"
    assert first[36:44] == b"data\xff\xff\xff\xff"


def test_no_samples_at_all_are_an_empty_file():
    none = np.zeros(0, np.float32)
    assert [len(b"".join(streamed(suffix, none))) for suffix in (".wav", ".pcm")] == [44, 0]
    samples, rate = decode(encode(none, 24_000, ".wav"))
    assert (samples.size, rate) == (0, 24_000)


@pytest.mark.parametrize("suffix", [".mp3", ".opus", ".aac"])
def test_too_loud_samples_are_clipped_and_not_wrapped(suffix, tone):
    found = played(b"".join(streamed(suffix, 4 * tone())), suffix)
    clipped = np.clip(4 * tone(), -1, 1)
    assert decibels(found, clipped) == pytest.approx(0, abs=1)


def test_what_does_not_stream_is_refused_with_what_does():
    with pytest.raises(InvalidRequest, match=r"\.ogg cannot be streamed") as caught:
        StreamEncoder(".ogg")
    assert ".opus" in caught.value.hint
    with pytest.raises(InvalidRequest, match=r"\.m4a cannot be streamed"):
        StreamEncoder(".m4a")
    with pytest.raises(InvalidRequest, match="unknown suffix"):
        StreamEncoder(".webm")
    with pytest.raises(InvalidRequest, match="at 23456 Hz"):
        StreamEncoder(".mp3", 23_456)


@pytest.mark.parametrize("suffix", STREAMED)
def test_only_the_encoded_ones_need_the_extra(suffix, tone, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    if suffix in (".wav", ".pcm"):
        assert streamed(suffix, tone())
    else:
        with pytest.raises(InvalidRequest, match=r"pip install 'storycore-tts\[media\]'"):
            StreamEncoder(suffix)
