"""Mono samples, and what is measured in them.

Samples are float32 of shape (n,), −1..1; sample rates are in Hz; durations in seconds.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]
"""float32, shape (n,), −1..1."""

SAMPLE_RATE = 24_000  # Hz; what Qwen3-TTS-Tokenizer-12Hz decodes to, and what every adapter returns
SILENCE_PEAK = 10 ** (-50 / 20)  # speech is far above −50 dBFS, dither and codec noise far below
MOST_CLIPPED = 0.0005  # share of samples; a peak that was brought to full scale is no clipping

_MARGIN = 0.05  # s of silence that stays where the rest is cut: breaths and soft consonants
_FULL_SCALE = 0.999
_FRAME = 0.02  # s
_HEARD = 35.0  # dB below the voice; what is softer is a pause
_LONGEST_PAUSE = 0.5  # s; shorter ones belong to speaking


def peak(samples: Samples) -> float:
    """Return the largest magnitude, 0..1; 0 for no samples at all."""
    return float(np.abs(samples).max()) if samples.size else 0.0


def is_silent(samples: Samples) -> bool:
    """Tell whether there is nothing to hear: no sample rises above −50 dBFS."""
    return peak(samples) < SILENCE_PEAK


def without_silence(
    samples: Samples, sample_rate: int, *, before: bool = True, after: bool = True
) -> Samples:
    """Return the samples without the silence before and after them, but for 50 ms.

    Args:
        samples: float32, shape (n,), −1..1.
        sample_rate: In Hz.
        before: Cut what lies before the first sound.
        after: Cut what lies after the last one.
    """
    (loud,) = np.nonzero(np.abs(samples) >= SILENCE_PEAK)
    if not loud.size:
        return samples
    margin = int(_MARGIN * sample_rate)
    start = max(0, loud[0] - margin) if before else 0
    return samples[start : loud[-1] + 1 + margin if after else None]


def clipped_share(samples: Samples) -> float:
    """Return the share of samples that stand at full scale, 0..1."""
    full = np.abs(samples) >= _FULL_SCALE
    return float(np.mean(full[1:] & full[:-1]))


def heard_seconds(samples: Samples, sample_rate: int) -> float:
    """Return the seconds of speech, without the silence at the ends and long pauses.

    Args:
        samples: float32, shape (n,), −1..1; longer than a frame of 20 ms, not silent.
        sample_rate: In Hz.
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
