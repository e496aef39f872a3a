"""Speech made faster or slower at the same pitch, and higher or lower at the same pace.

Both need the extra ``media``, and both block: 0.01 to 0.1 s for 10 s of speech.
"""

from __future__ import annotations

import math

import numpy as np

from storycore_tts.domain.audio import Samples
from storycore_tts.domain.ffmpeg import filtered
from storycore_tts.domain.sampling import check_range

SLOWEST, FASTEST = 0.25, 4.0
_OCTAVE = 12  # semitones
_TAIL = 1.0  # s of silence behind the input, so that the last word leaves the filter's window


def stretched(samples: Samples, sample_rate: int, speed: float) -> Samples:
    """Change the pace and keep the pitch.

    Args:
        samples: float32, shape (n,), −1..1.
        sample_rate: In Hz.
        speed: 0.25..4; 2 is twice as fast. At 1 the very same samples come back.

    Returns:
        round(n / speed) samples.

    Raises:
        InvalidRequest: Another speed, or the extra is not installed.
    """
    check_range("speed", speed, SLOWEST, FASTEST)
    if speed == 1 or not len(samples):
        return samples
    return _fitted(samples, sample_rate, _tempo(speed), length=round(len(samples) / speed))


def pitched(samples: Samples, sample_rate: int, semitones: float) -> Samples:
    """Change the pitch and keep the pace; the formants move along, so a voice grows or shrinks.

    Args:
        samples: float32, shape (n,), −1..1.
        sample_rate: In Hz.
        semitones: −12..12. At 0 the very same samples come back.

    Returns:
        n samples.

    Raises:
        InvalidRequest: More than an octave, or the extra is not installed.
    """
    check_range("semitones", semitones, -_OCTAVE, _OCTAVE)
    if semitones == 0 or not len(samples):
        return samples
    factor = 2 ** (semitones / _OCTAVE)
    faster = [("asetrate", str(round(sample_rate * factor))), ("aresample", str(sample_rate))]
    return _fitted(samples, sample_rate, [*faster, *_tempo(1 / factor)], length=len(samples))


def semitones(factor: float) -> float:
    """Return the semitones by which a pitch changes that is multiplied.

    Args:
        factor: 0.5..2; 1 changes nothing, 2 is an octave up.

    Raises:
        InvalidRequest: Another factor.
    """
    check_range("pitch", factor, 0.5, 2)
    return _OCTAVE * math.log2(factor)


def _tempo(speed: float) -> list[tuple[str, str]]:
    """Outside 0.5..2 two equal steps: ``atempo`` starts at 0.5, and above 2 it leaves words out."""
    steps = 1 if 0.5 <= speed <= 2 else 2
    return [("atempo", f"{speed ** (1 / steps):.9f}")] * steps


def _fitted(
    samples: Samples, sample_rate: int, filters: list[tuple[str, str]], *, length: int
) -> Samples:
    tail = np.zeros(int(_TAIL * sample_rate), np.float32)
    changed = filtered(np.concatenate([samples, tail]), sample_rate, filters)
    fitted: Samples = np.clip(changed[:length], -1.0, 1.0)
    return fitted
