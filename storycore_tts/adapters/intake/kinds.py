"""What a file is by its first bytes, whatever its name or its sender says."""

from __future__ import annotations

ACCEPTED = "wav, flac, mp3, ogg (Vorbis or Opus) and aiff"

_OGG_CODECS = (b"\x01vorbis", b"OpusHead")
_OGG_HEADER = 27  # bytes before the table of segments, whose length is the last of them
_LAYER_3 = 0b01
_RESERVED_VERSION, _RESERVED_RATE, _BAD_BIT_RATE = 0b01, 0b11, 0b1111


def kind_of(data: bytes) -> str | None:
    """Return "wav", "flac", "ogg", "aiff" or "mp3"; None for anything else."""
    start, form = data[:4], data[8:12]
    if start in (b"RIFF", b"RF64") and form == b"WAVE":
        return "wav"
    if start == b"FORM" and form in (b"AIFF", b"AIFC"):
        return "aiff"
    if start == b"fLaC":
        return "flac"
    if start == b"OggS" and _first_packet(data).startswith(_OGG_CODECS):
        return "ogg"
    if _is_id3(data[:10]) or _is_frame(data[:4]):
        return "mp3"
    return None


def _first_packet(data: bytes) -> bytes:
    segments = data[_OGG_HEADER - 1 : _OGG_HEADER]
    return data[_OGG_HEADER + segments[0] :][:8] if segments else b""


def _is_id3(head: bytes) -> bool:
    """Tell whether a tag begins: version 2.2 to 2.4, and a size in bytes of seven bits."""
    if len(head) < 10 or head[:3] != b"ID3":
        return False
    return 2 <= head[3] <= 4 and all(byte < 0x80 for byte in head[6:])


def _is_frame(head: bytes) -> bool:
    """Tell whether an MPEG audio frame of layer III begins."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 0b11, head[1] >> 1 & 0b11
    bit_rate, rate = head[2] >> 4, head[2] >> 2 & 0b11
    return (
        version != _RESERVED_VERSION
        and layer == _LAYER_3
        and bit_rate != _BAD_BIT_RATE
        and rate != _RESERVED_RATE
    )
