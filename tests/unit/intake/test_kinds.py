"""What a file is, by its first bytes."""

import gzip
import io
import pickle
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.adapters.intake.kinds import kind_of

GOOD = [
    ("WAV", "PCM_16", "wav"),
    ("WAVEX", "PCM_24", "wav"),
    ("RF64", "PCM_16", "wav"),
    ("AIFF", "PCM_16", "aiff"),
    ("FLAC", "PCM_16", "flac"),
    ("OGG", "VORBIS", "ogg"),
    ("OGG", "OPUS", "ogg"),
    ("MP3", "MPEG_LAYER_III", "mp3"),
]


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.wav", b"RIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(("container", "encoding", "kind"), GOOD)
def test_each_accepted_kind_is_known_by_its_bytes(container, encoding, kind, recording):
    assert kind_of(recording(container, encoding)) == kind


def test_an_mp3_may_begin_with_a_tag(recording):
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)
    assert kind_of(tag + recording("MP3", "MPEG_LAYER_III")) == "mp3"


@pytest.mark.parametrize(
    ("container", "encoding"),
    [
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
        ("AU", "PCM_16"),
        ("VOC", "PCM_16"),
        ("NIST", "PCM_16"),
        ("OGG", "FLAC"),
    ],
)
def test_other_sound_files_are_none_of_them(container, encoding, recording):
    if (container, encoding) == ("OGG", "FLAC"):
        data = b"OggS" + bytes(22) + b"\x01\x33" + b"\x7fFLAC" + bytes(60)
    else:
        data = recording(container, encoding)
    assert kind_of(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"%PDF-1.7\n" + b"RIFF....WAVE",
        b"<!doctype html><script>" + b"\xff\xfb\x90\x00" * 9,
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"RIFF",
        b"FORM\x00\x00\x00\x008SVX",
        b"OggS",
        b"OggS" + bytes(22) + b"\x01\x1e" + b"\x80theora",
        b"\xff\xd8\xff\xe0JFIF",  # a JPEG begins like a frame of layer I to III
        b"\xff\xfe<\x00h\x00",  # UTF-16
        b"\xff\xf1\x50\x80",  # AAC
        b"ID3",
        b"ID3\xff\xff\xff\xff\xff\xff\xff",
        b"\x1aE\xdf\xa3matroska",
        b"\x00\x00\x00\x20ftypM4A ",
        zipped(),
        gzip.compress(b"RIFF....WAVE", mtime=0),
        pickle.dumps({"samples": [0.0]}),
    ],
)
def test_what_is_none_of_them_is_none(data):
    assert kind_of(data) is None


@given(st.binary(max_size=64))
def test_any_bytes_have_an_answer(data):
    assert kind_of(data) in (None, "wav", "flac", "ogg", "aiff", "mp3")
