"""Encodes audio files incrementally, before their length is known."""

from __future__ import annotations

import struct

import numpy as np

from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.ffmpeg import FFmpegEncoder
from storycore_tts.sound.files import FFMPEG_FORMATS, MP3_BIT_RATE, check_suffix, encode
from storycore_tts.sound.samples import SAMPLE_RATE, Samples
from storycore_tts.sound.tag_writer import ffmpeg_fields, id3, id3_end, mp3_silence, riff_info
from storycore_tts.sound.tags import Tags

_UNKNOWN = 0xFFFF_FFFF  # players read this length as "until the stream ends"
_ENCODED = {suffix: form for suffix, form in FFMPEG_FORMATS.items() if not form.seeks}
STREAMED = (".wav", ".pcm", *_ENCODED)


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
        self._tags: Tags | None = None
        self._encoder: FFmpegEncoder | None = None
        if suffix in _ENCODED:
            self._encoder = FFmpegEncoder(_ENCODED[suffix], sample_rate)

    def tag(self, tags: Tags) -> None:
        """Let the file say this of itself; call it before ``feed``. A .pcm file cannot.

        Args:
            tags: What the file says.
        """
        self._tags = tags
        if self._suffix == ".wav":
            self._header = _wav_header(self._rate, riff_info(tags))
        elif self._suffix in (".mp3", ".aac"):
            self._header = id3(tags)
        elif self._encoder is not None:
            self._encoder.tag(ffmpeg_fields(tags, self._suffix))

    def feed(self, samples: Samples) -> bytes:
        """Encode the next samples; return the bytes that are ready, possibly none."""
        if self._encoder is None:
            return self._headed(_as_pcm(samples, self._rate))
        if self._suffix == ".flac":
            return self._encoder.feed(np.frombuffer(_as_pcm(samples, self._rate), "<i2"))
        clipped = np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False)
        data = self._encoder.feed(clipped)
        return self._headed(data) if data else data

    def finish(self) -> bytes:
        """Return the rest of the file. Do not call ``feed`` afterwards."""
        if self._encoder is None:
            return self._headed(b"")
        rest = self._headed(self._encoder.finish())
        return rest + id3_end(self._tags) if self._tags and self._suffix == ".mp3" else rest

    def _headed(self, data: bytes) -> bytes:
        header, self._header = self._header, b""
        if header and data and self._suffix == ".mp3":
            header += mp3_silence(data, self._rate, MP3_BIT_RATE)
        return header + data


def _as_pcm(samples: Samples, sample_rate: int) -> bytes:
    return encode(samples, sample_rate, ".pcm")


def _wav_header(sample_rate: int, info: bytes = b"") -> bytes:
    """Return the header of a 16-bit mono file of unknown length."""
    shape = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    unknown = struct.pack("<I", _UNKNOWN)
    return b"RIFF" + unknown + b"WAVEfmt " + shape + info + b"data" + unknown
