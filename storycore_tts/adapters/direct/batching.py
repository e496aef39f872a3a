"""Which of the lines that wait are spoken together."""

from __future__ import annotations

from collections.abc import Sequence

from storycore_tts.adapters.direct.speech_jobs import SpeechJob


def next_batch(waiting: Sequence[SpeechJob], *, most: int) -> list[SpeechJob]:
    """Choose the next batch: the line that waited longest, and those that fit to it.

    A batch ends when its longest line ends, so lines of similar length go together; the line that
    waited longest is always among them, so none waits for ever.

    Args:
        waiting: In the order in which they came; not empty.
        most: Lines in a batch.

    Returns:
        One line that must be alone, or up to ``most`` lines that are drawn alike, longest first.
    """
    first = waiting[0]
    if first.alone:
        return [first]
    alike = [job for job in waiting if not job.alone and job.line.batch_key == first.line.batch_key]
    by_length = sorted(alike, key=lambda job: job.line.seconds, reverse=True)
    begin = max(0, min(by_length.index(first) - most // 2, len(by_length) - most))
    return by_length[begin : begin + most]


def is_full(waiting: Sequence[SpeechJob], *, most: int) -> bool:
    """Tell whether to wait for more lines would change nothing about the next batch."""
    return waiting[0].alone or len(next_batch(waiting, most=most)) >= most
