"""What is heard in a recording, beside what is said to be in it."""

from __future__ import annotations

import numpy as np

from storycore_tts.domain.audio import Samples
from storycore_tts.domain.text import reading_seconds

MOST_CLIPPED = 0.0005  # share of samples; a peak that was brought to full scale is no clipping

_FULL_SCALE = 0.999
_FRAME = 0.02  # s
_HEARD = 35.0  # dB below the voice; what is softer is a pause
_LONGEST_PAUSE = 0.5  # s; shorter ones belong to speaking
# What reading_seconds, which a limit is made of, leaves out: "1939" takes as long as a sentence of
# 15 letters, and a kana is shorter than an ideograph.
_SECONDS_A_DIGIT, _SECONDS_A_KANA = 0.25, -0.09


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


def saying_seconds(transcript: str) -> float:
    """Estimate how long a transcript takes to say at an ordinary pace, in seconds."""
    digits = sum(map(str.isdecimal, transcript))
    kana = sum("\u3040" <= letter <= "\u30ff" for letter in transcript)
    return reading_seconds(transcript) + digits * _SECONDS_A_DIGIT + kana * _SECONDS_A_KANA
