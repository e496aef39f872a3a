"""Sound from codec frames while more of them are being made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from storycore_tts.domain.text import TOKENS_PER_SECOND
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

SAMPLES_PER_FRAME = int(SAMPLE_RATE / TOKENS_PER_SECOND)

# Frames before a piece that are decoded again with it, and their sound thrown away: the codec
# listens back. Its attention sees 72 frames; the package itself joins its pieces with 25.
LEFT_CONTEXT = 72


class ChunkDecoder:
    """Collects frames, and decodes them piece by piece with what came before.

    Args:
        decode: Turns consecutive frames into samples, 1920 of them each.
        deliver: Takes each piece's samples.
        first: Frames in the first piece: fewer sound earlier.
        then: Frames in each of the others.
        before: Frames that sounded before the first one (a clone's reference).
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
        """Take the next frame; a piece may be decoded and delivered in here."""
        self._frames.append(frame)
        if len(self._frames) - self._known >= self._wanted:
            self._emit()

    def finish(self) -> None:
        """Deliver what is left; no frame comes any more."""
        if len(self._frames) > self._known:
            self._emit()

    def _emit(self) -> None:
        self._deliver(self._decode(self._frames)[self._known * SAMPLES_PER_FRAME :])
        del self._frames[:-LEFT_CONTEXT]
        self._known = len(self._frames)
        self._wanted = self._then
