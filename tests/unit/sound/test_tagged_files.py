"""Tags in sound files: other programs read them, and they change nothing of the sound."""

import io
import wave

import av
import numpy as np
import pytest
import soundfile

from storycore_tts.sound.files import FORMATS, decode, encode
from storycore_tts.sound.stream_encoder import STREAMED, StreamEncoder
from storycore_tts.sound.tag_reader import read_tags
from storycore_tts.sound.tags import Tags

TAGS = Tags(
    "trainedAlgorithmicMedia",
    "storycore-tts/1",
    "2026-11-29T12:00:00+00:00",
    (("model", "Modèle; 1.7B"), ("job", "7")),
)
URI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MARKED = [suffix for suffix in FORMATS if suffix != ".pcm"]
STREAMS = [suffix for suffix in STREAMED if suffix != ".pcm"]


def streamed(suffix, samples, tags=TAGS):
    encoder = StreamEncoder(suffix)
    if tags is not None:
        encoder.tag(tags)
    pieces = [encoder.feed(samples[at : at + 2400]) for at in range(0, len(samples), 2400)]
    return b"".join([*pieces, encoder.finish()])


def heard(data):
    """Decode with FFmpeg, which fails at each byte that it does not understand."""
    with av.open(io.BytesIO(data)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def seen_by_ffmpeg(data):
    with av.open(io.BytesIO(data)) as file:
        return {**file.metadata, **file.streams.audio[0].metadata}


def check(data):
    tags = read_tags(data)
    assert tags["digitalsourcetype"] == URI
    assert tags["generator"] == "storycore-tts/1"
    assert tags["model"] == "Modèle, 1.7B"
    assert tags["job"] == "7"
    fields = {name.lower(): value for name, value in seen_by_ffmpeg(data).items()}
    assert fields["comment"] == TAGS.comment


@pytest.mark.parametrize("suffix", MARKED)
def test_a_file_says_what_it_is_to_other_programs_too(suffix, tone):
    check(encode(tone(), 24_000, suffix, tags=TAGS))


@pytest.mark.parametrize("suffix", STREAMS)
def test_a_stream_says_what_it_is_to_other_programs_too(suffix, tone):
    check(streamed(suffix, tone()))


@pytest.mark.parametrize("suffix", MARKED)
def test_tags_change_nothing_of_the_sound(suffix, tone):
    marked, plain = (encode(tone(), 24_000, suffix, tags=tags) for tags in (TAGS, None))
    assert np.array_equal(heard(marked), heard(plain))
    assert decode(marked)[0].size == decode(plain)[0].size


def test_the_samples_of_a_wav_lie_where_programs_expect_them(tone):
    plain, marked = encode(tone(), 24_000, ".wav"), encode(tone(), 24_000, ".wav", tags=TAGS)
    length = len(plain)
    assert marked[8:length] == plain[8:]
    assert int.from_bytes(marked[4:8], "little") == len(marked) - 8
    with wave.open(io.BytesIO(marked)) as file:
        assert file.readframes(file.getnframes()) == plain[44:]
    with soundfile.SoundFile(io.BytesIO(marked)) as file:
        assert (file.frames, file.software) == (24_000, "storycore-tts/1")


def test_the_chunks_of_a_wav_end_at_even_bytes(tone):
    for length in (1, 2):
        tags = Tags("algorithmicMedia", "x" * length, "2026", (("job", "7"),))
        data = encode(tone(0.1), 24_000, ".wav", tags=tags)
        assert len(data) % 2 == 0
        assert read_tags(data)["creatortool"] == read_tags(data)["software"] == "x" * length


def test_what_xml_reserves_is_escaped(tone):
    tags = Tags("algorithmicMedia", '<"&', "2026")
    data = encode(tone(0.1), 24_000, ".wav", tags=tags)
    assert b'xmp:CreatorTool="&lt;&quot;&amp;"' in data


def test_a_pcm_file_has_no_place_for_tags(tone):
    assert encode(tone(), 24_000, ".pcm", tags=TAGS) == encode(tone(), 24_000, ".pcm")
    assert streamed(".pcm", tone()) == encode(tone(), 24_000, ".pcm")


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_tags_between_joined_mp3s_cost_no_sample(rate, tone):
    samples = np.resize(tone(), rate)
    plain = encode(samples, rate, ".mp3", joinable=True)
    marked = encode(samples, rate, ".mp3", tags=TAGS, joinable=True)

    silence = len(heard(marked)) - len(heard(plain))
    assert silence == (576 if rate <= 24_000 else 1152)
    assert not heard(marked)[:silence].any()
    # FFmpeg drops the frame behind a tag, which is silent, and plays the second file as it was.
    assert np.array_equal(heard(marked + marked)[silence:], heard(plain + plain))
    twice, _ = soundfile.read(io.BytesIO(marked + marked))
    assert len(twice) == 2 * len(heard(marked))


def test_joined_mp3s_with_tags_are_read_as_a_recording(tone):
    marked = encode(tone(), 24_000, ".mp3", tags=TAGS, joinable=True)
    assert decode(3 * marked)[0].size == 3 * decode(marked)[0].size


def test_joined_streams_of_mp3_play(tone):
    data = streamed(".mp3", tone())
    assert np.array_equal(heard(data + data)[576:], heard(2 * streamed(".mp3", tone(), tags=None)))


@pytest.mark.parametrize("suffix", [".mp3", ".aac"])
def test_a_long_tag_is_no_obstacle_to_the_decoder(suffix, tone):
    tags = Tags("algorithmicMedia", "us", "2026", (("text", "word " * 3000),))
    data = encode(tone(), 24_000, suffix, tags=tags)
    assert len(decode(data)[0]) / 24_000 == pytest.approx(1, abs=0.1)
