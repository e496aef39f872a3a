"""The port for streaming speech while it is generated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.provenance import SourceType
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.sound.samples import Samples


@dataclass(frozen=True, eq=False)
class SpeechChunk:
    """A chunk of speech; the joined chunks are the whole line.

    Args:
        samples: float32, shape (n,), −1..1, mono.
        sample_rate: Sample rate in Hz.
        start: Start of the chunk within the line, in seconds.
        seed: The seed of the line, requested or random; None if the backend has no seeds.
        backend: Name of the adapter.
        warnings: Warnings for users; the same in each chunk.
        model: The model or checkpoint; "" if not known yet.
        source_type: See ``Speech.source_type``.
    """

    samples: Samples
    sample_rate: int
    start: float
    seed: int | None
    backend: str = ""
    warnings: tuple[str, ...] = ()
    model: str = ""
    source_type: SourceType = "trainedAlgorithmicMedia"

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate


@runtime_checkable
class StreamingSynthesizer(Protocol):
    """Streams speech in chunks. Adapters declare it with ``capabilities.streaming``."""

    def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """Stream a line. The first chunk arrives long before the last one is generated.

        If you leave the loop early, the job stops when the iterator is closed at the latest: wrap
        it in ``contextlib.aclosing``. Delivered chunks cannot be withdrawn, so failures are not
        retried, and an error may follow valid audio.

        Args:
            request: The text, the voice and the parameters.
            on_progress: Called with the job's progress.

        Raises:
            InvalidRequest: The speaker is unknown, the language is not supported, or a value is out
                of range.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed, or its audio is silent or never ends.
        """
        ...
