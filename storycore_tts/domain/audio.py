"""Mono audio as numbers and as files.

Samples are float32 of shape (n,), −1..1; sample rates are in Hz; durations in seconds.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from storycore_tts.domain.errors import InvalidRequest

Samples: TypeAlias = NDArray[np.float32]
"""float32, shape (n,), −1..1."""

SAMPLE_RATE = 24_000  # Hz; what Qwen3-TTS-Tokenizer-12Hz decodes to, and what every adapter returns
SILENCE_PEAK = 10 ** (-50 / 20)  # speech is far above −50 dBFS, dither and codec noise far below

# File suffix -> (libsndfile's container, its encoding).
_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
}
SUFFIXES = tuple(_FORMATS)


class UndecodableAudio(Exception):
    """Bytes that are no audio file, or a damaged one; adapters turn it into an error of theirs."""


def check_suffix(path: str | Path) -> str:
    """Return the lower-case suffix of a path that audio can be saved to.

    Raises:
        InvalidRequest: No encoder belongs to that suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InvalidRequest(
            f"Cannot save audio as {Path(path).name!r}: unknown suffix {suffix!r}.",
            hint=f"Use one of: {', '.join(SUFFIXES)}.",
        )
    return suffix


def encode(samples: Samples, sample_rate: int, suffix: str) -> bytes:
    """Encode mono samples as the file that belongs to ``suffix`` (".wav", ".flac", ".mp3", ".ogg").

    Raises:
        InvalidRequest: No encoder belongs to that suffix.
    """
    container, encoding = _FORMATS[check_suffix(f"audio{suffix}")]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format=container, subtype=encoding)
    return buffer.getvalue()


def decode(data: bytes) -> tuple[Samples, int]:
    """Decode an audio file to mono samples and their rate in Hz; channels are averaged.

    Raises:
        UndecodableAudio: Not audio, damaged, shorter than its header says, or not finite.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            promised, sample_rate = file.frames, file.samplerate
            frames = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError, MemoryError, OverflowError) as error:
        # ValueError and the two others: sizes in a damaged header that nobody could allocate.
        raise UndecodableAudio(f"{len(data)} bytes are no readable audio file: {error}") from error
    if len(frames) < promised:
        raise UndecodableAudio(
            f"the file ends after {len(frames)} of the {promised} frames that it announces"
        )
    samples = frames.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise UndecodableAudio("the file holds samples that are not finite numbers")
    return samples, sample_rate


def peak(samples: Samples) -> float:
    """Return the largest magnitude, 0..1; 0 for no samples at all."""
    return float(np.abs(samples).max()) if samples.size else 0.0


def is_silent(samples: Samples) -> bool:
    """Tell whether there is nothing to hear: no sample rises above −50 dBFS."""
    return peak(samples) < SILENCE_PEAK
