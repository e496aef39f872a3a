"""Selects waiting lines for a batch."""

from __future__ import annotations

from collections.abc import Sequence

from storycore_tts.adapters.direct.speech_jobs import SpeechJob


def next_batch(waiting: Sequence[SpeechJob], *, most: int) -> list[SpeechJob]:
    """Select the next batch: the line that has waited longest, and similar ones.

    A batch takes as long as its longest line, so lines of similar length are combined. The line
    that has waited longest is always included, so that no line waits forever.

    Args:
        waiting: Waiting lines, in order of arrival; not empty.
        most: Maximum number of lines in a batch.

    Returns:
        One line that cannot be batched, or up to ``most`` lines with the same sampling parameters,
        longest first.
    """
    first = waiting[0]
    if first.alone:
        return [first]
    alike = [job for job in waiting if not job.alone and job.line.batch_key == first.line.batch_key]
    by_length = sorted(alike, key=lambda job: job.line.seconds, reverse=True)
    begin = max(0, min(by_length.index(first) - most // 2, len(by_length) - most))
    return by_length[begin : begin + most]


def is_full(waiting: Sequence[SpeechJob], *, most: int) -> bool:
    """Return whether waiting for more lines cannot enlarge the next batch."""
    return waiting[0].alone or len(next_batch(waiting, most=most)) >= most
