"""Text to speech, heard while it is still being made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.sound.samples import Samples


@dataclass(frozen=True, eq=False)
class SpeechChunk:
    """A piece of speech; the pieces joined in order are the whole line.

    Args:
        samples: float32, shape (n,), −1..1, mono.
        sample_rate: In Hz.
        start: Where the piece begins in the line, in seconds.
        seed: The seed that the line is spoken with, asked for or fresh; None where the backend has
            none.
        backend: Name of the adapter that speaks.
        warnings: What was done in spite of doubts, for people to read; the same in each piece.
        model: The model or checkpoint that speaks; "" where that is not known yet.
    """

    samples: Samples
    sample_rate: int
    start: float
    seed: int | None
    backend: str = ""
    warnings: tuple[str, ...] = ()
    model: str = ""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


@runtime_checkable
class StreamingSynthesizer(Protocol):
    """Hands out speech piece by piece; ``capabilities.streaming`` names an adapter that can."""

    def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """Speak; the first piece comes long before the last one is made.

        Leaving the loop early stops the job at the latest when the iterator is closed: put it into
        ``contextlib.aclosing``. What was handed out cannot be taken back, so nothing is tried
        again, and an error may come after audio that sounded right.

        Raises:
            InvalidRequest: Unknown speaker, unsupported language, a value out of range.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed, or delivered silence or a runaway.
        """
        ...
