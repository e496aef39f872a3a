"""Speech made faster or slower at the same pitch, and higher or lower at the same pace.

Both need the extra ``media``, and both block: 0.01 to 0.1 s for 10 s of speech.
"""

from __future__ import annotations

import math

import numpy as np

from storycore_tts.errors import check_range
from storycore_tts.sound.ffmpeg import FFmpegFilter, filtered
from storycore_tts.sound.samples import Samples

SLOWEST, FASTEST = 0.25, 4.0
_OCTAVE = 12  # semitones
_TAIL = 1.0  # s of silence behind the input, so that the last word leaves the filter's window


class Changer:
    """Changes pace and pitch of speech that comes piece by piece.

    What comes back lags behind what is fed by some tenths of a second, until the end.

    Args:
        sample_rate: In Hz.
        speed: 0.25..4, with the pitch kept; 2 is twice as fast.
        semitones: −12..12, with the pace kept; the formants move along, so a voice grows or
            shrinks.

    Raises:
        InvalidRequest: A value out of its range, or the extra is not installed.
    """

    def __init__(self, sample_rate: int, *, speed: float = 1.0, semitones: float = 0.0) -> None:
        check_range("speed", speed, SLOWEST, FASTEST)
        check_range("semitones", semitones, -_OCTAVE, _OCTAVE)
        filters = []
        if speed != 1:
            filters += _tempo(speed)
        if semitones != 0:
            filters += _shift(sample_rate, 2 ** (semitones / _OCTAVE))
        self._filter = FFmpegFilter(sample_rate, filters) if filters else None
        self._tail = np.zeros(int(_TAIL * sample_rate), np.float32)
        self._speed = speed
        self._taken = self._given = 0  # samples

    def feed(self, samples: Samples) -> Samples:
        """Take the next samples; return those that are ready, which may be none yet."""
        if self._filter is None:
            return samples
        self._taken += len(samples)
        return self._clipped(self._filter.feed(samples))

    def finish(self) -> Samples:
        """Return the rest: all in all, round(n / speed) samples. Nothing can be fed after it."""
        if self._filter is None or not self._taken:
            return np.zeros(0, np.float32)
        left = round(self._taken / self._speed) - self._given
        rest = np.concatenate([self._filter.feed(self._tail), self._filter.finish()])
        return self._clipped(rest[:left])

    def _clipped(self, samples: Samples) -> Samples:
        self._given += len(samples)
        clipped: Samples = np.clip(samples, -1.0, 1.0)
        return clipped


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
    return _changed(samples, Changer(sample_rate, speed=speed))


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
    return _changed(samples, Changer(sample_rate, semitones=semitones))


def resampled(samples: Samples, sample_rate: int, wanted: int) -> Samples:
    """Return the same sound at another rate, in Hz; needs the extra ``media``.

    Raises:
        InvalidRequest: The extra is not installed.
    """
    # The filters' last rate is that of the input, so the new one is called by the old one's name.
    resample = [("aresample", str(wanted)), ("asetrate", str(sample_rate))]
    return filtered(samples, sample_rate, resample)


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


def _shift(sample_rate: int, factor: float) -> list[tuple[str, str]]:
    faster = [("asetrate", str(round(sample_rate * factor))), ("aresample", str(sample_rate))]
    return [*faster, *_tempo(1 / factor)]


def _changed(samples: Samples, changer: Changer) -> Samples:
    return np.concatenate([changer.feed(samples), changer.finish()])
