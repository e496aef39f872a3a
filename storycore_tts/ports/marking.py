"""The ports for marking sound files: signatures and watermarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from storycore_tts.domain.speech import Speech
from storycore_tts.sound.samples import Samples
from storycore_tts.sound.tags import Tags


class Signer(Protocol):
    """Signs sound files."""

    def signs(self, suffix: str) -> bool:
        """Return whether files with this suffix can be signed."""
        ...

    def sign(self, data: bytes, suffix: str, speech: Speech, tags: Tags) -> bytes:
        """Return the signed file. Blocks.

        Args:
            data: The sound file.
            suffix: Its suffix, such as ".wav".
            speech: What is in it, with the request that it answers.
            tags: What the file says of itself.

        Raises:
            MarkingFailed: The file cannot be signed; there is no half-signed file.
        """
        ...


@dataclass(frozen=True)
class WatermarkScore:
    """What a watermark detector heard.

    Args:
        detector: Its name and version.
        score: 0..1; 1: certainly marked.
        found: Whether the score is above the detector's threshold.
    """

    detector: str
    score: float
    found: bool


class WatermarkStream(Protocol):
    """Hides a mark in samples as they come. All calls block."""

    def feed(self, samples: Samples) -> Samples:
        """Take the next samples; return those that are ready, possibly none.

        Args:
            samples: float32, shape (n,), −1..1.

        Raises:
            MarkingFailed: The samples cannot be marked.
        """
        ...

    def finish(self) -> Samples:
        """Return the remaining samples. Do not call ``feed`` afterwards.

        Raises:
            MarkingFailed: The samples cannot be marked.
        """
        ...


class Watermark(Protocol):
    """Hides an inaudible mark in samples, and finds it again."""

    def embed(self, samples: Samples, sample_rate: int) -> Samples:
        """Return the samples with the mark: same shape and sample rate. Blocks.

        Args:
            samples: float32, shape (n,), −1..1.
            sample_rate: In Hz.

        Raises:
            MarkingFailed: The samples cannot be marked.
        """
        ...

    def stream(self, sample_rate: int) -> WatermarkStream:
        """Return what marks samples as they come. Blocks.

        Args:
            sample_rate: In Hz.

        Raises:
            MarkingFailed: Nothing can be marked, because the library cannot be loaded.
        """
        ...

    def detect(self, samples: Samples, sample_rate: int) -> WatermarkScore:
        """Return whether samples carry the mark. Blocks.

        Args:
            samples: float32, shape (n,), −1..1.
            sample_rate: In Hz.

        Raises:
            MarkingFailed: The library cannot be loaded, or there is not enough memory.
        """
        ...


class GenerationRecords(Protocol):
    """Keeps a record of each sound file that is made; see ``adapters.ledger``."""

    def append(self, speech: Speech, data_sha256: str, suffix: str) -> None:
        """Record a file. Blocks.

        Args:
            speech: What is in it, with the request that it answers.
            data_sha256: Hash of the file, in hexadecimal digits.
            suffix: Its suffix, such as ".wav".

        Raises:
            StorageFailed: The record cannot be written.
        """
        ...
