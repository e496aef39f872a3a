"""What a file is, by its first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.adapters.intake.kinds import kind_of

ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)


SOUNDS = [("WAV", "PCM_16", "wav"), ("RF64", "PCM_16", "wav"), ("AIFF", "PCM_16", "aiff")]
SOUNDS += [("FLAC", "PCM_16", "flac"), ("OGG", "VORBIS", "ogg"), ("OGG", "OPUS", "ogg")]
SOUNDS += [("MP3", "MPEG_LAYER_III", "mp3")]
SOUNDS += [(other, "PCM_16", None) for other in ("CAF", "W64", "AU", "VOC", "NIST")]


@pytest.mark.parametrize(("container", "encoding", "kind"), SOUNDS)
def test_a_sound_file_is_known_by_its_bytes(container, encoding, kind, recording):
    data = recording(container, encoding)
    assert kind_of(data) == kind
    assert kind_of(ID3 + data) == "mp3"  # a tag, and what follows is the decoder's matter


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n" + b"RIFF....WAVE",
        b"<!doctype html><script>" + b"\xff\xfb\x90\x00" * 9,
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"FORM\x00\x00\x00\x008SVX",
        b"OggS",
        b"OggS" + bytes(22) + b"\x01\x1e" + b"\x80theora",
        b"OggS" + bytes(22) + b"\x01\x33" + b"\x7fFLAC" + bytes(60),
        b"\xff\xd8\xff\xe0JFIF",  # a JPEG begins like a frame of layer I to III
        b"\xff\xfe<\x00h\x00",  # UTF-16
        b"\xff\xf1\x50\x80",  # AAC
        b"ID3",
        b"ID3\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_anything_else_is_none_of_them(data):
    assert kind_of(data) is None


@given(st.binary(max_size=64))
def test_any_bytes_have_an_answer(data):
    assert kind_of(data) in (None, "wav", "flac", "ogg", "aiff", "mp3")
