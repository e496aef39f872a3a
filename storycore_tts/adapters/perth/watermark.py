"""Hides the watermark in whole files and in streams, and finds it again."""

from __future__ import annotations

import numpy as np

from storycore_tts.adapters.perth.networks import HOP, NAME, Networks, load
from storycore_tts.ports.marking import WatermarkScore
from storycore_tts.sound.samples import Samples

_FOUND = 0.8  # of 1; recordings without a mark had 0.76 at most, see documentation/TRUST.md
_FOUND_SHORT = 0.95  # the same for short sounds, in which noise resembles the mark more often
_SHORT = 2.0  # s
_LOWEST_RATE = 8000  # Hz; with less, the detector hears a mark in anything
_AROUND = 24  # columns of spectrum before and after that the mark depends on
_FEWEST = 5  # columns that are marked at a time; with fewer, most of the work is on those around
_MOST = 1000  # columns at a time: 10 s, for which the networks need 150 MB
_PIECE = 10  # s that are searched at a time


class PerthWatermark:
    """The watermark of resemble-perth; see ``ports.marking.Watermark``. Threads can share it.

    It says that speech is generated, and nothing else: it has no payload.
    """

    def embed(self, samples: Samples, sample_rate: int) -> Samples:
        """See ``Watermark.embed``. Peaks that the mark lifts over full scale are clipped."""
        stream = self.stream(sample_rate)
        return np.concatenate([stream.feed(samples), stream.finish()])

    def stream(self, sample_rate: int) -> PerthStream:
        """See ``Watermark.stream``."""
        return PerthStream(load(), sample_rate)

    def detect(self, samples: Samples, sample_rate: int) -> WatermarkScore:
        """See ``Watermark.detect``.

        Pieces of 10 s are searched one by one, so that a part of a recording is found, too.
        Nothing is found at sample rates below 8 kHz.
        """
        networks, score = load(), 0.0
        needed = _FOUND if len(samples) >= _SHORT * sample_rate else _FOUND_SHORT
        if sample_rate >= _LOWEST_RATE:
            pieces = _pieces(samples, _PIECE * sample_rate)
            score = max(networks.score(piece, sample_rate) for piece in pieces)
        return WatermarkScore(NAME, score, found=score >= needed)


class PerthStream:
    """Hides the watermark in samples as they come; see ``ports.marking.WatermarkStream``.

    The mark at a moment depends on 0.24 s before and after it. With these around each block, the
    joined blocks are the samples that the whole would give.

    Args:
        networks: Hide the mark.
        sample_rate: In Hz.
    """

    def __init__(self, networks: Networks, sample_rate: int) -> None:
        self._networks, self._rate = networks, sample_rate
        self._hop = round(sample_rate * HOP)
        self._kept = np.zeros(0, np.float32)
        self._before = 0  # of the samples kept: those that were returned already

    def feed(self, samples: Samples) -> Samples:
        """See ``WatermarkStream.feed``."""
        self._kept = np.concatenate([self._kept, samples])
        marked = []
        while (columns := self._ready()) >= _FEWEST:
            marked.append(self._marked(columns * self._hop))
        return np.concatenate([self._kept[:0], *marked])

    def finish(self) -> Samples:
        """See ``WatermarkStream.finish``."""
        return self._marked(len(self._kept) - self._before)

    def _ready(self) -> int:
        """Return how many columns can be marked: those with enough samples after them."""
        fresh = (len(self._kept) - self._before) // self._hop
        return min(fresh - _AROUND, _MOST)

    def _marked(self, count: int) -> Samples:
        """Mark and return the next samples, and forget those that are not needed any more."""
        start, end = self._before, self._before + count
        around = self._kept[: end + _AROUND * self._hop]
        mark = self._networks.mark(around, self._rate)
        marked: Samples = np.clip(self._kept[start:end] + mark[start:end], -1.0, 1.0)
        self._before = min(end, _AROUND * self._hop)
        self._kept = self._kept[end - self._before :]
        return marked


def _pieces(samples: Samples, size: int) -> list[Samples]:
    """Split samples; a last piece of less than half the size stays with the one before."""
    ends = [*range(size, max(len(samples) - size // 2, 1), size), len(samples)]
    return [samples[start:end] for start, end in zip([0, *ends], ends, strict=False)]
