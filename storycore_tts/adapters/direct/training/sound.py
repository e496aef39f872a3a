"""Checks the sound quality of recordings, whose defects a voice would learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from storycore_tts.sound.samples import MOST_CLIPPED, Samples, clipped_share, levels

_MOST_OFFSET = 0.01  # of full scale
_FRAME = 0.02  # s
_SILENT = 40.0  # dB below the voice
_LONGEST_SILENCE = 0.5  # s at either end
_LEAST_DISTANCE = 20.0  # dB between the voice and pauses
_NO_PAUSE = 6.0  # dB; with less variation there is no pause in which to measure noise


def doubts(samples: Samples, sample_rate: int) -> Iterator[str]:
    """Yield warnings about a recording.

    Args:
        samples: Mono, float32, shape (n,), −1..1; longer than a frame, not silent.
        sample_rate: In Hz.
    """
    clipped = clipped_share(samples)
    if clipped > MOST_CLIPPED:
        yield f"it is clipped: {clipped:.1%} of its samples are at full scale"
    offset = float(np.mean(samples))
    if abs(offset) > _MOST_OFFSET:
        yield f"it has a DC offset of {offset:+.2f}: remove it with a high-pass filter"
    found = levels(samples - offset, sample_rate)
    voice, pauses = np.quantile(found, (0.95, 0.05))
    if _NO_PAUSE < voice - pauses < _LEAST_DISTANCE:
        yield f"it is noisy: its pauses are only {voice - pauses:.0f} dB below the voice"
    heard = np.flatnonzero(found > voice - _SILENT)
    for where, frames in (("begins", heard[0]), ("ends", len(found) - 1 - heard[-1])):
        if frames * _FRAME > _LONGEST_SILENCE:
            yield f"it {where} with {frames * _FRAME:.1f} s of silence, which will be learned"
