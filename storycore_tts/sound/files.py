"""Encodes mono samples to whole audio files, and decodes files to samples."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.decoders import SNDFILE, UndecodableAudio, decoded, decoder_of
from storycore_tts.sound.ffmpeg import FFmpegEncoder, FFmpegFormat, pyav, unfit_rate
from storycore_tts.sound.samples import Samples
from storycore_tts.sound.tag_writer import (
    ffmpeg_fields,
    id3,
    id3_end,
    mp3_silence,
    riff_info,
    riff_xmp,
)
from storycore_tts.sound.tags import Tags


@dataclass(frozen=True)
class Format:
    """An audio file format.

    Args:
        media_type: The media type, for HTTP.
        container: libsndfile's name of the container; "" if FFmpeg encodes it.
        encoding: libsndfile's name of the encoding.
    """

    media_type: str
    container: str = ""
    encoding: str = ""


FORMATS = {
    ".wav": Format("audio/wav", "WAV", "PCM_16"),
    ".flac": Format("audio/flac", "FLAC", "PCM_16"),
    ".mp3": Format("audio/mpeg", "MP3", "MPEG_LAYER_III"),
    ".ogg": Format("audio/ogg", "OGG", "VORBIS"),
    ".opus": Format("audio/ogg; codecs=opus", "OGG", "OPUS"),
    ".aac": Format("audio/aac"),
    ".m4a": Format("audio/mp4"),
    ".pcm": Format("audio/pcm", "RAW", "PCM_16"),
}
"""File suffix -> format. A .pcm file is signed 16-bit little-endian mono, without a header."""

SUFFIXES = tuple(FORMATS)

MP3_BIT_RATE = 64_000  # bit/s
_NO_INDEX = {"write_xing": "0", "id3v2_version": "0"}  # mp3: the index would be written at the end
_SHORT_PAGES = {"page_duration": "100000"}  # μs; the default Ogg page is one second
FFMPEG_FORMATS = {
    ".flac": FFmpegFormat("flac", "flac"),
    ".mp3": FFmpegFormat("mp3", "libmp3lame", MP3_BIT_RATE, _NO_INDEX),
    ".opus": FFmpegFormat("ogg", "libopus", 48_000, _SHORT_PAGES),
    ".aac": FFmpegFormat("adts", "aac", 64_000),
    ".m4a": FFmpegFormat("ipod", "aac", 64_000, seeks=True),
}
"""File suffix -> FFmpeg's format, for streams and for what libsndfile does not encode."""

_BLOCK = 2**20  # samples decoded at a time
_MOST_FRAMES = 240_000_000  # 10 minutes at 384 kHz; a small file can unpack to far more


def check_suffix(path: str | Path) -> str:
    """Return the lowercase suffix of a path that audio can be saved to.

    Raises:
        InvalidRequest: There is no encoder for the suffix, or it is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InvalidRequest(
            f"Cannot save audio as {Path(path).name!r}: unknown suffix {suffix!r}.",
            hint=f"Use one of: {', '.join(SUFFIXES)}.",
        )
    if not FORMATS[suffix].container:
        pyav(f"Encoding {suffix}")
    return suffix


def encode(
    samples: Samples,
    sample_rate: int,
    suffix: str,
    *,
    tags: Tags | None = None,
    joinable: bool = False,
) -> bytes:
    """Encode mono samples in the format of ``suffix``. Blocks.

    Args:
        samples: float32, shape (n,), −1..1; values outside are clipped.
        sample_rate: Sample rate in Hz.
        suffix: ".wav", ".flac" or ".pcm" (16-bit), ".mp3", ".ogg", ".opus", or ".aac" and ".m4a",
            which need the extra ``media``.
        tags: What the file says of itself; a .pcm file cannot say anything. None: nothing, which
            is for files that are not generated speech, such as references.
        joinable: Whether .mp3 files are made so that they can be concatenated: without an index
            with the duration, which needs the extra ``media``.

    Raises:
        InvalidRequest: There is no encoder for the suffix, it is not installed, or it does not
            support the sample rate.
    """
    known = FORMATS[check_suffix(f"audio{suffix}")]
    by_ffmpeg = not known.container or (joinable and suffix == ".mp3")
    data = (_by_ffmpeg if by_ffmpeg else _by_libsndfile)(samples, sample_rate, suffix, tags)
    if tags is None:
        return data
    if suffix == ".wav":
        return _longer_riff(data, riff_info(tags) + riff_xmp(tags))
    if suffix == ".mp3":
        start = id3(tags) + (mp3_silence(data, sample_rate, MP3_BIT_RATE) if by_ffmpeg else b"")
        return start + data + id3_end(tags)
    return id3(tags) + data if suffix == ".aac" else data


def _by_libsndfile(samples: Samples, sample_rate: int, suffix: str, tags: Tags | None) -> bytes:
    known, buffer = FORMATS[suffix], io.BytesIO()
    try:
        with soundfile.SoundFile(
            buffer,
            "w",
            sample_rate,
            channels=1,
            format=known.container,
            subtype=known.encoding,
            endian="LITTLE" if known.container == "RAW" else None,
        ) as file:
            if tags is not None and known.container in ("FLAC", "OGG"):
                file.software, file.date = tags.generator, tags.created
                file.comment = tags.comment
            file.write(samples)
    except soundfile.LibsndfileError:
        raise unfit_rate(suffix, sample_rate) from None
    return buffer.getvalue()


def _by_ffmpeg(samples: Samples, sample_rate: int, suffix: str, tags: Tags | None) -> bytes:
    encoder = FFmpegEncoder(FFMPEG_FORMATS[suffix], sample_rate)
    if tags is not None and suffix == ".m4a":
        encoder.tag(ffmpeg_fields(tags, suffix))
    return encoder.feed(np.clip(samples, -1.0, 1.0)) + encoder.finish()


def _longer_riff(data: bytes, chunks: bytes) -> bytes:
    """Append chunks to a RIFF file. The samples stay where programs expect them, at byte 44."""
    return data[:4] + struct.pack("<I", len(data) + len(chunks) - 8) + data[8:] + chunks


def decode(
    data: bytes, *, most_frames: int = _MOST_FRAMES, block: int = _BLOCK
) -> tuple[Samples, int]:
    """Decode an audio file to mono samples and their rate in Hz; channels are averaged.

    Args:
        data: The file.
        most_frames: Maximum number of frames that the file may unpack to.
        block: Samples, over all channels, read at a time.

    Raises:
        UndecodableAudio: The file is not audio, is damaged, shorter than its header declares,
            longer than ``most_frames``, contains non-finite samples, or needs the extra ``media``
            (m4a, mp4, webm, aac).
    """
    blocks, frames, sample_rate = list[Samples](), 0, 0
    decoder = decoder_of(data) or SNDFILE  # libsndfile supports further formats
    try:
        for rate, samples in decoded(data, decoder, block=block):
            sample_rate, frames = rate, frames + len(samples)
            if frames > most_frames:
                raise UndecodableAudio(f"it unpacks to more than {most_frames} frames")
            blocks.append(samples)
    except MemoryError as error:  # sizes in a damaged header, too large to allocate
        raise UndecodableAudio("it is not a readable audio file: it is too large") from error
    samples = np.concatenate(blocks)
    if not np.isfinite(samples).all():
        raise UndecodableAudio("it holds samples that are not finite numbers")
    return samples, sample_rate


def encode_exactly(samples: Samples, sample_rate: int) -> bytes:
    """Encode mono samples losslessly as a wav file of 32-bit floats.

    The same samples give the same bytes, unlike libsndfile, which writes a timestamp into the file.
    """
    data = np.asarray(samples, "<f4").tobytes()
    format_ = struct.pack("<HHIIHHH", 3, 1, sample_rate, 4 * sample_rate, 4, 32, 0)  # 3: floats
    chunks = ((b"fmt ", format_), (b"fact", struct.pack("<I", len(samples))), (b"data", data))
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(it)) + it for name, it in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
