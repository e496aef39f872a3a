"""The forward hook on the talker: counts frames, reports progress, streams and stops rows.

The talker generates one codec frame per step and row. The package passes no stopping criteria to
it, but sampling happens after the hook: a row ends if the hook masks every logit except that of the
end token, while the other rows of the batch go on. When all rows are cancelled, the hook raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storycore_tts.adapters.direct.speech_jobs import SpeechJob
from storycore_tts.adapters.direct.streaming import ChunkDecoder
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.text import TOKENS_PER_SECOND

_NEVER = -1e4  # a logit that is never sampled next to 0, in any precision; −inf would become NaN
_ALMOST = 0.99  # the largest fraction reported before the end


class Abandoned(Exception):
    """All lines of the batch were cancelled."""


class Watch:
    """A forward hook for one generation.

    Args:
        batch: The job of each row.
        end: Id of the token that ends a row.
        stream: Also receives the frames of a batch with one row.
    """

    def __init__(
        self, batch: Sequence[SpeechJob], *, end: int, stream: ChunkDecoder | None = None
    ) -> None:
        self._end = end
        self._stream = stream
        self._rows = [_Row(job) for job in batch]
        self._steps = 0

    def __call__(self, talker: Any, args: Any, output: Any) -> None:
        """Process one step: ``output`` holds its frames and the logits of the next ones."""
        layers, codes = output.hidden_states
        # The package keeps the states of all layers and steps until the end, but uses only the last
        # position of the last layer: 4 KB per row and step instead of 119 KB with 1.7B.
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
        """Return the seconds of speech that a row has generated."""
        return self._rows[index].frames / TOKENS_PER_SECOND

    def ran_away(self, index: int) -> bool:
        """Return whether a row used up its token budget; N tokens produce N−1 frames."""
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
    """The progress of one line of a batch."""

    def __init__(self, job: SpeechJob) -> None:
        self.job = job
        self.frames = 0
        self.ended = False
        self._expected = job.line.seconds

    def count(self) -> None:
        """Count a frame and report progress once per second of speech."""
        before = int(self.frames / TOKENS_PER_SECOND)
        self.frames += 1
        seconds = int(self.frames / TOKENS_PER_SECOND)
        if seconds > before:
            fraction = min(_ALMOST, seconds / self._expected)
            told = f"{seconds} s of speech"
            self.job.tell(Progress(Stage.GENERATING, fraction=fraction, message=told))
