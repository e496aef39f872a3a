"""Decodes codec frames to audio while more of them are generated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from storycore_tts.domain.text import TOKENS_PER_SECOND
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

SAMPLES_PER_FRAME = int(SAMPLE_RATE / TOKENS_PER_SECOND)

# Preceding frames that are decoded again with each piece, as context for the codec; their samples
# are discarded. The codec's attention spans 72 frames; the package itself uses 25.
LEFT_CONTEXT = 72


class ChunkDecoder:
    """Collects frames and decodes them in pieces, with the preceding frames as context.

    Args:
        decode: Converts consecutive frames to samples, 1920 per frame.
        deliver: Called with the samples of each piece.
        first: Frames in the first piece; fewer mean lower latency.
        then: Frames in each further piece.
        before: Frames that precede the first one (the reference of a clone).
    """

    def __init__(
        self,
        decode: Callable[[Sequence[Any]], Samples],
        deliver: Callable[[Samples], None],
        *,
        first: int,
        then: int,
        before: Sequence[Any] = (),
    ) -> None:
        self._decode = decode
        self._deliver = deliver
        self._wanted = first
        self._then = then
        self._frames = list(before[-LEFT_CONTEXT:])
        self._known = len(self._frames)

    def add(self, frame: Any) -> None:
        """Add a frame; decode and deliver a piece if it is complete."""
        self._frames.append(frame)
        if len(self._frames) - self._known >= self._wanted:
            self._emit()

    def finish(self) -> None:
        """Decode and deliver the remaining frames."""
        if len(self._frames) > self._known:
            self._emit()

    def _emit(self) -> None:
        self._deliver(self._decode(self._frames)[self._known * SAMPLES_PER_FRAME :])
        del self._frames[:-LEFT_CONTEXT]
        self._known = len(self._frames)
        self._wanted = self._then
