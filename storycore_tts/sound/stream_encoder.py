"""Encodes audio files incrementally, before their length is known."""

from __future__ import annotations

import struct

import numpy as np

from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.ffmpeg import FFmpegEncoder
from storycore_tts.sound.files import check_suffix, encode
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

_UNKNOWN = 0xFFFF_FFFF  # players read this length as "until the stream ends"
_NO_INDEX = {"write_xing": "0", "id3v2_version": "0"}  # mp3: the index would be written at the end
_SHORT_PAGES = {"page_duration": "100000"}  # μs; the default Ogg page is one second

# File suffix -> (FFmpeg's container, its encoder, bit/s, the container's options).
_ENCODERS: dict[str, tuple[str, str, int, dict[str, str]]] = {
    ".flac": ("flac", "flac", 0, {}),
    ".mp3": ("mp3", "libmp3lame", 64_000, _NO_INDEX),
    ".opus": ("ogg", "libopus", 48_000, _SHORT_PAGES),
    ".aac": ("adts", "aac", 64_000, {}),
}
STREAMED = (".wav", ".pcm", *_ENCODERS)


class StreamEncoder:
    """Encodes samples incrementally; the joined bytes are a playable file.

    All formats except .wav and .pcm need the extra ``media``. The length is not known when the
    header is written, so a .wav header declares "until the end" and a .flac header "unknown". Calls
    block for up to a thirtieth of the audio's length: from an event loop, call them in a thread.

    Args:
        suffix: ".wav", ".pcm", ".flac", ".mp3", ".opus" or ".aac".
        sample_rate: Sample rate in Hz.

    Raises:
        InvalidRequest: The suffix or sample rate is not supported, or the extra is not installed.
    """

    def __init__(self, suffix: str, sample_rate: int = SAMPLE_RATE) -> None:
        if suffix not in STREAMED:
            check_suffix(f"audio{suffix}")
            raise InvalidRequest(
                f"{suffix} cannot be streamed.", hint=f"Use one of: {', '.join(STREAMED)}."
            )
        self._rate = sample_rate
        self._suffix = suffix
        self._header = _wav_header(sample_rate) if suffix == ".wav" else b""
        self._encoder: FFmpegEncoder | None = None
        if suffix in _ENCODERS:
            container, codec, bit_rate, options = _ENCODERS[suffix]
            self._encoder = FFmpegEncoder(
                container, codec, sample_rate, bit_rate=bit_rate, options=options
            )

    def feed(self, samples: Samples) -> bytes:
        """Encode the next samples; return the bytes that are ready, possibly none."""
        if self._encoder is None:
            return self._headed(_as_pcm(samples, self._rate))
        if self._suffix == ".flac":
            return self._encoder.feed(np.frombuffer(_as_pcm(samples, self._rate), "<i2"))
        return self._encoder.feed(np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False))

    def finish(self) -> bytes:
        """Return the rest of the file. Do not call ``feed`` afterwards."""
        return self._headed(b"") if self._encoder is None else self._encoder.finish()

    def _headed(self, data: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + data


def _as_pcm(samples: Samples, sample_rate: int) -> bytes:
    return encode(samples, sample_rate, ".pcm")


def _wav_header(sample_rate: int) -> bytes:
    """Return the header of a 16-bit mono file of unknown length."""
    shape = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    unknown = struct.pack("<I", _UNKNOWN)
    return b"RIFF" + unknown + b"WAVEfmt " + shape + b"data" + unknown
