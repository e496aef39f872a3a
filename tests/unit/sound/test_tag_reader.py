"""Reading what sound files say of themselves: ours, those of other programs, and damaged ones."""

import io
from time import process_time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.sound.files import encode
from storycore_tts.sound.tag_reader import read_tags
from storycore_tts.sound.tags import Tags

SECOND = np.zeros(24_000, np.float32)
URI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
TAGS = Tags("trainedAlgorithmicMedia", "storycore-tts/1", "2026-11-29T12:00:00+00:00")
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
XMP = f'<rdf:Description x:DigitalSourceType="{URI}" xmp:CreatorTool="A tool"/>'.encode()
ID3_ENCODINGS = [(0, "latin-1"), (1, "utf-16"), (2, "utf-16-be"), (3, "utf-8")]


def chunk(name, body):
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def riff(*chunks):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def frame(name, body, size=lambda length: length.to_bytes(4, "big")):
    return name + size(len(body)) + b"\0\0" + body


def id3(*frames, major=3, flags=0):
    body = b"".join(frames)
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([major, 0, flags]) + size + body


def box(name, body):
    return (8 + len(body)).to_bytes(4, "big") + name + body


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus"])
def test_our_files_say_what_they_are(suffix):
    tags = read_tags(encode(SECOND, 24_000, suffix, tags=TAGS))

    assert tags["digitalsourcetype"] == URI
    assert tags["generator"] == "storycore-tts/1"
    assert tags["created"] == tags["date"] == "2026-11-29T12:00:00+00:00"


FFMPEG = {"wav": "pcm_s16le", "flac": "flac", "ogg": "libopus", "mp3": "libmp3lame", "ipod": "aac"}


@pytest.mark.parametrize(("container", "codec"), list(FFMPEG.items()))
def test_the_files_of_ffmpeg(container, codec):
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as writer:
        stream = writer.add_stream(codec, rate=24_000, layout="mono")
        writer.metadata.update({"title": "Eine Szene", "comment": TAGS.comment})
        silence = av.AudioFrame.from_ndarray(SECOND[None], format="flt", layout="mono")
        silence.sample_rate = 24_000
        writer.mux(stream.encode(silence))
        writer.mux(stream.encode(None))

    tags = read_tags(file.getvalue())

    assert tags["title"] == "Eine Szene"
    assert tags.get("comment", tags.get("description")) == TAGS.comment
    assert tags["generator"] == "storycore-tts/1"


@pytest.mark.parametrize(
    "data",
    [
        riff(chunk(b"_PMX", XMP)),
        riff(chunk(b"fmt ", b"odd"), chunk(b"id3 ", id3(frame(b"PRIV", b"XMP\0" + XMP)))),
        id3(frame(b"PRIV", b"XMP\0" + XMP)),
        box(b"ftyp", b"M4A ") + box(b"uuid", XMP_BOX + XMP),
        box(b"ftyp", b"M4A ") + box(b"moov", box(b"udta", box(b"XMP_", XMP))),
    ],
    ids=["wav", "id3 in wav", "id3", "mp4", "mp4 in its user data"],
)
def test_xmp_wherever_it_stands(data):
    assert read_tags(data) == {"digitalsourcetype": URI, "creatortool": "A tool"}


@pytest.mark.parametrize(
    "packet",
    [
        f"<a:DigitalSourceType>\n {URI}</a:DigitalSourceType>",
        f"<a:DigitalSourceType rdf:resource='{URI}'/>",
        f"<a:DigitalSourceType = '{URI}'/>",
    ],
)
def test_the_spellings_of_xmp(packet):
    assert read_tags(riff(chunk(b"_PMX", packet.encode()))) == {"digitalsourcetype": URI}


@pytest.mark.parametrize(
    ("number", "name"), list(enumerate(["latin-1", "utf-16", "utf-16-be", "utf-8"]))
)
def test_the_encodings_of_id3(number, name):
    title = bytes([number]) + "Größe\0".encode(name)
    field = bytes([number]) + "Kind\0".encode(name) + "für alle".encode(name)
    comment = bytes([number]) + b"deu" + "\0".encode(name) + "schön".encode(name)

    tags = read_tags(id3(frame(b"TIT2", title), frame(b"TXXX", field), frame(b"COMM", comment)))

    assert tags == {"title": "Größe", "kind": "für alle", "comment": "schön"}


def test_unsynchronised_id3_with_an_extended_header():
    title = b"\x01" + "ÿ".encode("utf-16")
    old = frame(b"TIT2", title)
    safe = (b"\0\0\0\x06" + bytes(6) + old).replace(b"\xff", b"\xff\0")
    new = b"TIT2" + b"\0\0\0\x06" + b"\0\x03" + bytes(4) + b"\x03x"

    assert read_tags(id3(safe, flags=0xC0)) == {"title": "ÿ"}
    assert read_tags(id3(b"\0\0\0\x06\x01\0", new, major=4, flags=0x40)) == {"title": "x"}


def test_the_free_fields_of_mp4():
    name = box(b"mean", b"\0\0\0\0com.apple.iTunes") + box(b"name", b"\0\0\0\0Kind")
    item = box(b"----", name + box(b"data", bytes(8) + "für alle".encode()))
    meta = box(b"meta", bytes(4) + box(b"ilst", item))

    assert read_tags(box(b"ftyp", b"M4A ") + box(b"moov", box(b"udta", meta))) == {
        "kind": "für alle"
    }


def test_the_broadcast_chunk_of_wav():
    bext = b"Take 3".ljust(256, b"\0") + b"A recorder".ljust(32, b"\0") + bytes(314)

    assert read_tags(riff(chunk(b"bext", bext))) == {
        "description": "Take 3",
        "originator": "A recorder",
    }


def test_a_huge_field_is_cut():
    comment = chunk(b"LIST", b"INFO" + chunk(b"ICMT", b"x" * 100_000))

    assert len(read_tags(riff(comment))["comment"]) == 10_000


def _nested():
    inner = b""
    for _ in range(5000):
        inner = box(b"udta", inner)
    return box(b"ftyp", b"M4A ") + box(b"moov", inner)


@pytest.mark.parametrize(
    "data",
    [
        _nested(),
        (b"ID3\x04\0\0" + bytes(4)) * 500_000,
        riff(chunk(b"ABCD", b"") * 3_000_000),
        riff(chunk(b"LIST", b"INFO" + chunk(b"ABCD", b"12") * 500_000)),
        riff(chunk(b"_PMX", b"DigitalSourceType" * 1_400_000)),
        b"fLaC\x84\xff\xff\xff" + bytes(10_000_000),
    ],
    ids=["nested", "ID3", "chunks", "fields", "XMP", "comments"],
)
def test_a_file_made_to_keep_us_busy_is_read_in_no_time(data):
    begun = process_time()
    read_tags(data)
    assert process_time() - begun < 1


SAMPLES = [
    encode(SECOND[:2400], 24_000, suffix, tags=TAGS) for suffix in (".wav", ".flac", ".ogg")
] + [
    id3(frame(b"COMM", b"\x03eng\0one"), frame(b"PRIV", b"XMP\0" + XMP), major=4),
    box(b"ftyp", b"M4A ") + box(b"moov", box(b"udta", box(b"meta", bytes(4) + box(b"ilst", XMP)))),
]


@given(st.sampled_from(SAMPLES), st.integers(0, 600), st.binary(max_size=8), st.integers(0, 3000))
def test_a_damaged_file_is_read_as_far_as_it_goes(data, at, junk, end):
    read_tags((data[:at] + junk + data[at + len(junk) :])[:end])
