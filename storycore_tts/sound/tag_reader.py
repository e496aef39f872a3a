"""Reads what a sound file says of itself: RIFF INFO, XMP, ID3, Vorbis comments, MP4 atoms.

Pure Python over the headers, without a decoder, since files may come from anywhere. A damaged file
is read as far as it makes sense.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from storycore_tts.sound.tags import facts_in

_LONGEST = 10_000  # characters of a value
_MOST = 10_000  # fields of a file, and parts of one of its parts; real ones have a few dozen
_MOST_ID3 = 10  # of them in front of a file
_LARGEST_XMP = 2**20  # bytes
_FIELDS = {  # our name -> the fields of RIFF, ID3 and MP4
    "comment": "ICMT COMM ©cmt",
    "software": "ISFT TSSE ©too",
    "date": "ICRD TDRC TYER ©day",
    "title": "INAM TIT2 ©nam",
    "artist": "IART TPE1 ©ART",
    "album": "IPRD TALB ©alb",
    "genre": "IGNR TCON ©gen",
    "copyright": "ICOP TCOP cprt",
}
_NAMES = {field: name for name, fields in _FIELDS.items() for field in fields.split()}
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_ID3_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")

_Fields = Iterator[tuple[str, str]]


def read_tags(data: bytes) -> dict[str, str]:
    """Return what a sound file says of itself, by lowercase names.

    Names are those of the file, except that fields for the same thing have one name in all
    containers: "comment", "software", "date", "title", "artist", "album", "genre", "copyright".
    "digitalsourcetype" is IPTC's URI of the source type, from XMP, a field of its own, or our
    comment. The facts in our comment ("generator", "created", "model", "job") are entries too.

    Args:
        data: The file: wav, flac, ogg, opus, mp3, aac, or m4a. Of others, nothing is read.
    """
    tags: dict[str, str] = {}
    for name, value in islice(_fields(memoryview(data)), _MOST):
        text = value.strip("\0\ufeff \r\n")[:_LONGEST]
        if text:
            tags.setdefault(_NAMES.get(name, name).lower(), text)
    for comment in ("comment", "description"):  # FFmpeg writes comments as descriptions
        for name, value in facts_in(tags.get(comment, "")).items():
            tags.setdefault(name.lower(), value)
    return tags


def _fields(data: memoryview) -> _Fields:
    for _ in range(_MOST_ID3):  # mp3 and aac begin with it; some flac files do
        if bytes(data[:3]) != b"ID3":
            break
        yield from _id3(data)
        data = data[10 + _syncsafe(data[6:10]) :]
    start = bytes(data[:8])
    if start[:4] in (b"RIFF", b"RF64"):
        yield from _riff(data)
    elif start[:4] == b"fLaC":
        yield from _flac(data)
    elif start[:4] == b"OggS":
        yield from _ogg(data)
    elif start[4:] == b"ftyp":
        yield from _mp4(data)


def _riff(data: memoryview) -> _Fields:
    for name, body in _chunks(data[12:]):
        if name == b"LIST" and bytes(body[:4]) == b"INFO":
            for field, value in _chunks(body[4:]):
                yield _text(field, "latin-1"), _text(value)
        elif name == b"_PMX":
            yield from _xmp(body)
        elif name in (b"id3 ", b"ID3 "):
            yield from _id3(body)
        elif name == b"bext":
            yield "description", _text(body[:256])
            yield "originator", _text(body[256:288])


def _chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    for _ in range(_MOST):
        if at + 8 > len(data):
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield bytes(data[at : at + 4]), data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _flac(data: memoryview) -> _Fields:
    at, last = 4, False
    while not last and at + 4 <= len(data):
        last, kind = bool(data[at] & 0x80), data[at] & 0x7F
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        if kind == 4:
            yield from _vorbis(data[at + 4 : at + 4 + size])
        at += 4 + size


def _ogg(data: memoryview) -> _Fields:
    for packet in islice(_packets(data), 1, 2):  # the first one is the codec's header
        for start in (b"OpusTags", b"\x03vorbis"):
            if packet.startswith(start):
                yield from _vorbis(memoryview(packet)[len(start) :])


def _packets(data: memoryview) -> Iterator[bytes]:
    at, packet = 0, bytearray()
    while bytes(data[at : at + 4]) == b"OggS" and at + 27 <= len(data):
        table = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(table)
        for size in table:
            packet += data[at : at + size]
            at += size
            if size < 255:
                yield bytes(packet)
                packet.clear()


def _vorbis(data: memoryview) -> _Fields:
    at = 4 + int.from_bytes(data[:4], "little")  # behind the encoder's name
    at += 4  # and the number of fields
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        name, _, value = _text(data[at + 4 : at + 4 + size]).partition("=")
        yield name, value
        at += 4 + size


def _id3(data: memoryview) -> _Fields:
    """Read a tag of ID3v2.3 or 2.4."""
    major, flags, end = data[3] if len(data) > 3 else 0, data[5:6], _syncsafe(data[6:10])
    if major not in (3, 4) or not flags:
        return
    body = bytes(data[10 : 10 + end])
    if major == 3 and flags[0] & 0x80:
        body = body.replace(b"\xff\x00", b"\xff")
    at = 0
    if flags[0] & 0x40:  # an extended header
        at = _syncsafe(body[:4]) if major == 4 else 4 + int.from_bytes(body[:4], "big")
    while body[at : at + 1].isalpha() and at + 10 <= len(body):  # zeros pad the tag
        size = body[at + 4 : at + 8]
        length = _syncsafe(size) if major == 4 else int.from_bytes(size, "big")
        frame = body[at + 10 : at + 10 + length]
        if major == 4 and body[at + 9] & 0x02:
            frame = frame.replace(b"\xff\x00", b"\xff")
        if major == 4 and body[at + 9] & 0x01:
            frame = frame[4:]  # its length
        yield from _id3_frame(body[at : at + 4].decode("latin-1"), frame)
        at += 10 + length


def _id3_frame(name: str, frame: bytes) -> _Fields:
    if name == "PRIV":
        owner, _, content = frame.partition(b"\0")
        if owner == b"XMP":
            yield from _xmp(memoryview(content))
    elif name == "COMM":
        yield name, _id3_text(frame[:1] + frame[4:]).partition("\0")[2]
    elif name == "TXXX":
        field, _, value = _id3_text(frame).partition("\0")
        yield field, value
    elif name.startswith("T"):
        yield name, _id3_text(frame).partition("\0")[0]


def _id3_text(frame: bytes) -> str:
    encoding = frame[0] if frame else 0
    return frame[1:].decode(_ID3_ENCODINGS[min(encoding, 3)], "replace")


def _syncsafe(size: bytes | memoryview) -> int:
    value = 0
    for byte in size:
        value = value << 7 | byte & 0x7F
    return value


def _mp4(data: memoryview) -> _Fields:
    for name, body in _boxes(data):
        if name in (b"moov", b"udta"):
            yield from _mp4_user_data(body, is_inner=name == b"udta")
        elif name == b"uuid" and bytes(body[:16]) == _XMP_BOX:
            yield from _xmp(body[16:])


def _mp4_user_data(data: memoryview, *, is_inner: bool) -> _Fields:
    for name, body in _boxes(data):
        if name == b"udta" and not is_inner:
            yield from _mp4_user_data(body, is_inner=True)
        elif name == b"XMP_":
            yield from _xmp(body)
        elif name == b"meta":
            for inner, items in _boxes(body if bytes(body[4:8]) == b"hdlr" else body[4:]):
                if inner == b"ilst":
                    yield from _mp4_items(items)


def _mp4_items(data: memoryview) -> _Fields:
    for name, body in _boxes(data):
        inner = dict(_boxes(body))
        field = inner[b"name"][4:] if b"name" in inner else name
        if b"data" in inner:
            yield _text(field, "latin-1"), _text(inner[b"data"][8:])


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    for _ in range(_MOST):
        if at + 8 > len(data):
            return
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        size = max(size, head) if size else len(data) - at
        yield bytes(data[at + 4 : at + 8]), data[at + head : at + size]
        at += size


def _xmp(packet: memoryview) -> _Fields:
    for name in ("DigitalSourceType", "CreatorTool"):
        pattern = rf"""{name}(?:\s*=\s*["']|[^>]{{0,200}}resource\s*=\s*["']|[^>]{{0,200}}>\s*)"""
        found = re.search(rf"""{pattern}([^"'<]+)""", _text(packet[:_LARGEST_XMP]))
        if found:
            yield name, found[1]


def _text(data: bytes | memoryview, encoding: str = "utf-8") -> str:
    return bytes(data).decode(encoding, "replace")
