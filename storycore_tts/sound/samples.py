"""Measurements of mono samples.

Samples are float32 of shape (n,), −1..1; sample rates are in Hz, durations in seconds.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]
"""float32, shape (n,), −1..1."""

SAMPLE_RATE = 24_000  # Hz; the output rate of Qwen3-TTS-Tokenizer-12Hz and of every adapter
SILENCE_PEAK = 10 ** (-50 / 20)  # speech is far above −50 dBFS, dither and codec noise far below
MOST_CLIPPED = 0.0005  # share of samples; single peaks normalized to full scale are not clipping

_MARGIN = 0.05  # s of silence kept at the cut, for breaths and soft consonants
_FULL_SCALE = 0.999
_FRAME = 0.02  # s
_HEARD = 35.0  # dB below the voice; softer frames are pauses
_LONGEST_PAUSE = 0.5  # s; shorter pauses count as speech


def peak(samples: Samples) -> float:
    """Return the largest magnitude, 0..1; 0 if there are no samples."""
    return float(np.abs(samples).max()) if samples.size else 0.0


def is_silent(samples: Samples) -> bool:
    """Return whether no sample exceeds −50 dBFS."""
    return peak(samples) < SILENCE_PEAK


def without_silence(
    samples: Samples, sample_rate: int, *, before: bool = True, after: bool = True
) -> Samples:
    """Trim the silence at the start and the end to 50 ms.

    Args:
        samples: float32, shape (n,), −1..1.
        sample_rate: Sample rate in Hz.
        before: Whether to trim the start.
        after: Whether to trim the end.
    """
    (loud,) = np.nonzero(np.abs(samples) >= SILENCE_PEAK)
    if not loud.size:
        return samples
    margin = int(_MARGIN * sample_rate)
    start = max(0, loud[0] - margin) if before else 0
    return samples[start : loud[-1] + 1 + margin if after else None]


def clipped_share(samples: Samples) -> float:
    """Return the share of samples at full scale, 0..1."""
    full = np.abs(samples) >= _FULL_SCALE
    return float(np.mean(full[1:] & full[:-1]))


def heard_seconds(samples: Samples, sample_rate: int) -> float:
    """Return the seconds of speech, excluding silence at the ends and long pauses.

    Args:
        samples: float32, shape (n,), −1..1; longer than a frame of 20 ms, not silent.
        sample_rate: Sample rate in Hz.
    """
    found = levels(samples, sample_rate)
    (heard,) = np.nonzero(found > np.quantile(found, 0.95) - _HEARD)
    gaps = np.diff(heard)
    return float((1 + np.where(gaps <= _LONGEST_PAUSE / _FRAME, gaps, 1).sum()) * _FRAME)


def levels(samples: Samples, sample_rate: int) -> Samples:
    """Return the level of each frame of 20 ms, in dB."""
    size = max(1, round(_FRAME * sample_rate))
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    return np.asarray(10 * np.log10(np.mean(np.square(frames), axis=1) + 1e-10))
