"""Writes tags in the forms that containers have for them; ``sound.tag_reader`` reads them.

libsndfile and FFmpeg write those of flac, ogg, opus and m4a themselves.

Clients concatenate mp3 files, and then tags lie between frames. libsndfile skips them. FFmpeg drops
the data from the end of one file's last frame to the end of the next file's first frame, without an
error if that data begins as an ID3v1 tag does. So each mp3 file ends with an ID3v1 tag, and begins
with an ID3v2 tag and a frame of silence.
"""

from __future__ import annotations

import struct
from html import escape

from storycore_tts.sound.tags import Tags

_SOURCE_TYPE = "DIGITALSOURCETYPE"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about=""
 xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:CreatorTool="{generator}"
 xmp:CreateDate="{created}"
 Iptc4xmpExt:DigitalSourceType="{source}"/>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def riff_chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk of a RIFF file, padded to an even length."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff_info(tags: Tags) -> bytes:
    """Return the chunk LIST INFO of a wav file."""
    fields = ((b"ISFT", tags.generator), (b"ICRD", tags.created), (b"ICMT", tags.comment))
    chunks = (riff_chunk(name, value.encode() + b"\0") for name, value in fields)
    return riff_chunk(b"LIST", b"INFO" + b"".join(chunks))


def riff_xmp(tags: Tags) -> bytes:
    """Return the XMP chunk of a wav file, with IPTC's digital source type."""
    packet = _XMP.format(
        generator=escape(tags.generator),
        created=escape(tags.created),
        source=escape(tags.source_uri),
    )
    return riff_chunk(b"_PMX", packet.encode())


def id3(tags: Tags) -> bytes:
    """Return the ID3v2.4 tag that an mp3 or aac file begins with."""
    body = b"".join(
        (
            _frame(b"TSSE", tags.generator),
            _frame(b"TDRC", tags.created[:19]),  # in UTC, as ID3 defines
            _frame(b"TXXX", f"{_SOURCE_TYPE}\0{tags.source_uri}"),
            _frame(b"COMM", f"\0{tags.comment}", language=b"eng"),
        )
    )
    return b"ID3\x04\0\0" + _syncsafe(len(body)) + body


def id3_end(tags: Tags) -> bytes:
    """Return the ID3v1 tag that an mp3 file ends with."""
    title, artist, album, comment = (
        text.encode("latin-1", "replace")[:30].ljust(30, b"\0")
        for text in ("Synthetic speech", tags.generator, "", tags.source_type)
    )
    no_genre = b"\xff"
    return b"TAG" + title + artist + album + tags.created[:4].encode() + comment + no_genre


def mp3_silence(frames: bytes, sample_rate: int, bit_rate: int) -> bytes:
    """Return a frame of silence, to put in front of others.

    Args:
        frames: The frames, or the first of them; 4 bytes suffice.
        sample_rate: Their sample rate in Hz.
        bit_rate: Their bit rate in bit/s.
    """
    padding = frames[2] >> 1 & 1
    size = (144 if sample_rate > 24_000 else 72) * bit_rate // sample_rate + padding
    return frames[:4].ljust(size, b"\0")  # a frame without data is silent


def ffmpeg_fields(tags: Tags, suffix: str) -> dict[str, str]:
    """Return the metadata of a file that FFmpeg writes; mp4 has no fields of one's own."""
    own = {"software": tags.generator, _SOURCE_TYPE: tags.source_uri}
    return {
        "comment": tags.comment,
        "date": tags.created,
        **({"encoding_tool": tags.generator} if suffix == ".m4a" else own),
    }


def _frame(name: bytes, text: str, *, language: bytes = b"") -> bytes:
    body = b"\x03" + language + text.encode()  # 3: UTF-8
    return name + _syncsafe(len(body)) + b"\0\0" + body


def _syncsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
