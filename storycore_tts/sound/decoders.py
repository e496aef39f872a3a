"""Decodes audio files in memory block by block, with libsndfile or FFmpeg (the extra ``media``).

Imports nothing from this package: the subprocess that decodes untrusted recordings
(``adapters/audio_intake``) loads this module by its path.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

SNDFILE = "libsndfile"
ACCEPTED = "wav, flac, mp3, ogg (Vorbis or Opus), aiff, m4a, mp4, webm and aac"

Blocks: TypeAlias = Iterator[tuple[int, NDArray[np.float32]]]
"""Yields the sample rate in Hz and the next mono samples, −1..1."""

_BLOCK = 2**16  # samples, over all channels, decoded at a time
_OGG_HEADER = 27  # bytes before the segment table; the last one is its length
_MP3_INDEXES = (b"Xing", b"Info", b"VBRI")
_OGG_CODECS = (b"\x01vorbis", b"OpusHead")
_LEAST = 0.95  # of the declared length: containers round, and codecs pad

# Accepted from untrusted sources: the best-tested decoders.
_MOST_CHANNELS = 32
_CONTAINERS = {"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF"}
_CODECS = {
    *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"),
    *("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"),
    *("VORBIS", "OPUS", "MPEG_LAYER_III"),
}
_FFMPEG_CODECS = {
    *("aac", "alac", "flac", "mp3", "mp3float", "opus", "libopus", "vorbis"),
    *("pcm_s16le", "pcm_s16be"),
}


class UndecodableAudio(Exception):
    """The data is not an audio file, or is damaged. Adapters convert this to their own errors."""


class _Memory(io.BytesIO):
    """A file in memory that ignores invalid offsets from damaged headers.

    The decoder calls it from C: an exception would be printed rather than propagated.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def decoder_of(data: bytes) -> str | None:
    """Return the decoder for a file: ``SNDFILE``, or FFmpeg's name of the format.

    Detected by the first bytes. None: the format is not supported.

    Args:
        data: The file, or its first 1024 bytes.
    """
    start, form = data[:4], data[8:12]
    if start in (b"RIFF", b"RF64"):
        return SNDFILE if form == b"WAVE" else None
    if start == b"FORM":
        return SNDFILE if form in (b"AIFF", b"AIFC") else None
    if start == b"OggS":
        return SNDFILE if _first_packet(data).startswith(_OGG_CODECS) else None
    if data[4:8] == b"ftyp":
        return "mp4"
    if start == b"\x1aE\xdf\xa3":  # EBML
        return "matroska"
    if start == b"fLaC":
        return SNDFILE
    if tag := _id3_length(data):  # of mp3 and aac; if it is longer than the data, of mp3
        return _decoder_of_frames(data[tag : tag + 4]) or SNDFILE
    return _decoder_of_frames(start)


def _id3_length(data: bytes) -> int:
    """Return the length of the ID3v2 tag that a file begins with, in bytes."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _first_packet(data: bytes) -> bytes:
    segments = data[_OGG_HEADER - 1 : _OGG_HEADER]
    return data[_OGG_HEADER + segments[0] :][:8] if segments else b""


def _decoder_of_frames(head: bytes) -> str | None:
    """Detect the format from an MPEG audio frame's header: mp3 is layer III, aac is layer 0."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    layer = head[1] >> 1 & 0b11
    if layer == 0:
        return "aac" if head[1] & 0xF0 == 0xF0 and head[2] >> 2 & 0xF < 13 else None
    return SNDFILE if layer == 1 and head[2] >> 4 != 0xF and head[2] >> 2 & 0b11 != 0b11 else None


def decoded(data: bytes, decoder: str, *, block: int = _BLOCK, known_only: bool = False) -> Blocks:
    """Decode a file without allocating the sizes that its header declares.

    Args:
        data: The file.
        decoder: See ``decoder_of``.
        block: Samples, over all channels, decoded at a time.
        known_only: Accept only the containers and codecs allowed from untrusted sources.

    Raises:
        UndecodableAudio: The file is not audio, is damaged or shorter than its header declares, or
            PyAV is not installed.
    """
    if decoder == SNDFILE:
        return _by_libsndfile(data, block, known_only)
    return _by_ffmpeg(data, decoder)


def _by_libsndfile(data: bytes, block: int, known_only: bool) -> Blocks:
    try:
        with soundfile.SoundFile(_Memory(data)) as file:
            if known_only:
                _check_known(file)
            rate, promised, frames = file.samplerate, _promised(file, data), 0
            yield rate, np.zeros(0, np.float32)
            while len(read := file.read(max(1, block // file.channels), "float32", True)):
                frames += len(read)
                with np.errstate(over="ignore", invalid="ignore"):  # the caller checks for them
                    yield rate, read.mean(axis=1, dtype=np.float32)
    except soundfile.LibsndfileError as error:
        raise _damaged(error.error_string) from error  # str(error) would include our object's repr
    except (soundfile.SoundFileError, ValueError, OverflowError) as error:
        # ValueError and OverflowError: sizes in a damaged header, too large to allocate.
        raise _damaged(str(error)) from error
    if frames < promised:
        raise UndecodableAudio(f"it ends after {frames} of the {promised} frames that it announces")


def _promised(file: soundfile.SoundFile, data: bytes) -> int:
    """Return the length in the header, in frames; 0 if it is an estimate from the file's size."""
    start = _id3_length(data)
    first_frame = data[start : start + 200]
    if file.format == "MP3" and not any(index in first_frame for index in _MP3_INDEXES):
        return 0
    return int(file.frames)


def _by_ffmpeg(data: bytes, container: str) -> Blocks:
    try:
        import av
    except ImportError:
        raise UndecodableAudio(
            "FFmpeg decodes such files, and the package av is not installed (pip install "
            "'storycore-tts[media]')"
        ) from None
    rate, frames = 0, 0
    try:
        with av.open(_Memory(data), format=container) as file:
            if not file.streams.audio:
                raise UndecodableAudio("it holds no sound")
            stream = file.streams.audio[0]
            codec = stream.codec_context
            if codec is None:  # FFmpeg does not know it, or the header is damaged
                raise UndecodableAudio(f"it holds an unknown codec in {container}")
            if codec.name not in _FFMPEG_CODECS:
                raise UndecodableAudio(f"it holds {codec.name} in {container}")
            codec.thread_count = 1
            # A bare aac file has no header: FFmpeg guesses its length from the first frames.
            announced = 0.0 if container == "aac" else _announced(file, stream)
            floats = av.AudioResampler(format="fltp")
            for decoded_frame in file.decode(stream):
                for frame in floats.resample(decoded_frame):
                    samples = frame.to_ndarray()
                    _check_channels(len(samples))
                    rate, frames = frame.sample_rate, frames + samples.shape[1]
                    yield rate, samples.mean(axis=0, dtype=np.float32)
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise _damaged(getattr(error, "strerror", None) or str(error)) from error
    if not frames or frames / rate < _LEAST * announced:
        found = frames / rate if rate else 0.0
        raise UndecodableAudio(f"it ends after {found:.2f} of the {announced:.2f} s it announces")


def _announced(file: Any, stream: Any) -> float:
    """Return the duration in seconds from the header; 0 if missing, as in browsers' webm."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return 0.0 if file.duration is None else file.duration / 1_000_000


def _check_known(file: soundfile.SoundFile) -> None:
    if file.format not in _CONTAINERS or file.subtype not in _CODECS:
        raise UndecodableAudio(f"it holds {file.subtype_info} in {file.format_info}")
    _check_channels(file.channels)


def _check_channels(channels: int) -> None:
    if channels > _MOST_CHANNELS:
        raise UndecodableAudio(f"it has {channels} channels; the maximum is {_MOST_CHANNELS}")


def _damaged(reason: str) -> UndecodableAudio:
    return UndecodableAudio(f"it is not a readable audio file: {reason.rstrip('.')}")
