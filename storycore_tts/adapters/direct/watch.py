"""The hook on the talker: it counts, reports, hands out frames, stops and drops what is not wanted.

The talker makes one codec frame per step and row. The package forwards no stopping criteria to it,
but the sampling comes after the hook: a row whose logits leave nothing but the end token ends
there, while the other rows of its batch go on. When no row is wanted any more, the hook raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storycore_tts.adapters.direct.speech_jobs import SpeechJob
from storycore_tts.adapters.direct.streaming import ChunkDecoder
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.text import TOKENS_PER_SECOND

_NEVER = -1e4  # a logit that is never drawn beside 0, in any precision; −inf would become NaN
_ALMOST = 0.99  # the fraction that only the end goes beyond


class Abandoned(Exception):
    """Nobody wants any of the batch's lines any more."""


class Watch:
    """A forward hook for one generation.

    Args:
        batch: The job of each row.
        end: The token that ends a row.
        stream: Where the frames of a lone row go as well.
    """

    def __init__(
        self, batch: Sequence[SpeechJob], *, end: int, stream: ChunkDecoder | None = None
    ) -> None:
        self._end = end
        self._stream = stream
        self._rows = [_Row(job) for job in batch]
        self._steps = 0

    def __call__(self, talker: Any, args: Any, output: Any) -> None:
        """Look at one step: ``output`` holds its frames, and the logits of the next ones."""
        layers, codes = output.hidden_states
        # The package keeps every layer's state of every step until the end, and needs the last
        # position of the last one: 4 KB a row and step instead of 119 KB at 1.7B.
        output.hidden_states = ((layers[-1][:, -1:].clone(),), codes)
        self._steps += 1
        if codes is not None:  # None: the step that reads the prompt
            self._count(codes)
        living = [(index, row) for index, row in enumerate(self._rows) if not row.ended]
        if living and all(row.job.cancelled for _, row in living):
            raise Abandoned
        for index, row in living:
            if row.job.cancelled or self._steps >= row.job.line.budget:
                output.logits[index, -1, :] = _NEVER
                output.logits[index, -1, self._end] = 0.0

    def seconds(self, index: int) -> float:
        """Return how much a row has spoken."""
        return self._rows[index].frames / TOKENS_PER_SECOND

    def ran_away(self, index: int) -> bool:
        """Tell whether a row used up its budget; so many tokens make one frame less."""
        row = self._rows[index]
        return row.frames >= row.job.line.budget - 1

    def _count(self, codes: Any) -> None:
        for row, code in zip(self._rows, codes[:, 0].tolist(), strict=True):
            row.ended = row.ended or code == self._end
            if not row.ended:
                row.count()
        if self._stream is not None and not self._rows[0].ended:
            self._stream.add(codes[0])


class _Row:
    """One line of a batch, as far as it has come."""

    def __init__(self, job: SpeechJob) -> None:
        self.job = job
        self.frames = 0
        self.ended = False
        self._expected = job.line.seconds

    def count(self) -> None:
        """Count a frame, and report each second."""
        before = int(self.frames / TOKENS_PER_SECOND)
        self.frames += 1
        seconds = int(self.frames / TOKENS_PER_SECOND)
        if seconds > before:
            fraction = min(_ALMOST, seconds / self._expected)
            told = f"{seconds} s of speech"
            self.job.tell(Progress(Stage.GENERATING, fraction=fraction, message=told))
