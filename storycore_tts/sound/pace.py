"""Changes the pace of speech without its pitch, and the pitch without the pace.

Both need the extra ``media``. Both block: 0.01 to 0.1 s for 10 s of speech.
"""

from __future__ import annotations

import math

import numpy as np

from storycore_tts.errors import check_range
from storycore_tts.sound.ffmpeg import FFmpegFilter, filtered
from storycore_tts.sound.samples import Samples

SLOWEST, FASTEST = 0.25, 4.0
_OCTAVE = 12  # semitones
_TAIL = 1.0  # s of silence after the input, to flush the filter's window


class Changer:
    """Changes pace and pitch of speech incrementally.

    Until the end, the output lags behind the input by a few tenths of a second.

    Args:
        sample_rate: Sample rate in Hz.
        speed: Speed factor, 0.25..4; 2 is twice as fast. The pitch is kept.
        semitones: Pitch shift in semitones, −12..12. The pace is kept; the formants shift too, so
            the voice sounds smaller or larger.

    Raises:
        InvalidRequest: A value is out of range, or the extra is not installed.
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
        """Process the next samples; return the samples that are ready, possibly none."""
        if self._filter is None:
            return samples
        self._taken += len(samples)
        return self._clipped(self._filter.feed(samples))

    def finish(self) -> Samples:
        """Return the rest, round(n / speed) samples in total. Do not call ``feed`` afterwards."""
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
        sample_rate: Sample rate in Hz.
        speed: Speed factor, 0.25..4; 2 is twice as fast. At 1, the samples are unchanged.

    Returns:
        round(n / speed) samples.

    Raises:
        InvalidRequest: The speed is out of range, or the extra is not installed.
    """
    check_range("speed", speed, SLOWEST, FASTEST)
    if speed == 1 or not len(samples):
        return samples
    return _changed(samples, Changer(sample_rate, speed=speed))


def pitched(samples: Samples, sample_rate: int, semitones: float) -> Samples:
    """Change the pitch and keep the pace.

    The formants shift too, so the voice sounds smaller or larger.

    Args:
        samples: float32, shape (n,), −1..1.
        sample_rate: Sample rate in Hz.
        semitones: Pitch shift in semitones, −12..12. At 0, the samples are unchanged.

    Returns:
        n samples.

    Raises:
        InvalidRequest: The shift is more than an octave, or the extra is not installed.
    """
    check_range("semitones", semitones, -_OCTAVE, _OCTAVE)
    if semitones == 0 or not len(samples):
        return samples
    return _changed(samples, Changer(sample_rate, semitones=semitones))


def resampled(samples: Samples, sample_rate: int, wanted: int) -> Samples:
    """Resample to the rate ``wanted``, in Hz. Needs the extra ``media``.

    Raises:
        InvalidRequest: The extra is not installed.
    """
    # FFmpegFilter's output has the input's rate, so relabel the resampled audio with that rate.
    resample = [("aresample", str(wanted)), ("asetrate", str(sample_rate))]
    return filtered(samples, sample_rate, resample)


def semitones(factor: float) -> float:
    """Convert a pitch factor to semitones.

    Args:
        factor: Pitch factor, 0.5..2; 1 changes nothing, 2 is an octave up.

    Raises:
        InvalidRequest: The factor is out of range.
    """
    check_range("pitch", factor, 0.5, 2)
    return _OCTAVE * math.log2(factor)


def _tempo(speed: float) -> list[tuple[str, str]]:
    """Use two equal steps outside 0.5..2: ``atempo`` starts at 0.5, and above 2 it drops words."""
    steps = 1 if 0.5 <= speed <= 2 else 2
    return [("atempo", f"{speed ** (1 / steps):.9f}")] * steps


def _shift(sample_rate: int, factor: float) -> list[tuple[str, str]]:
    faster = [("asetrate", str(round(sample_rate * factor))), ("aresample", str(sample_rate))]
    return [*faster, *_tempo(1 / factor)]


def _changed(samples: Samples, changer: Changer) -> Samples:
    return np.concatenate([changer.feed(samples), changer.finish()])
