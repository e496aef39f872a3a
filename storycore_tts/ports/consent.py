"""The ports for consent: what is known of it, and what was prepared from a recording."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from storycore_tts.domain.requests import CloneRequest, SpeechRequest


class ConsentRecords(Protocol):
    """Knows the consents to the use of stored voices, and which of them were revoked."""

    def check(self, request: SpeechRequest | CloneRequest) -> None:
        """Check that a line may be spoken now. Blocks for about a millisecond.

        Args:
            request: The line.

        Raises:
            ConsentRefused: The consent is revoked, expired, given for another recording, or does
                not cover the line.
            StorageFailed: The records cannot be read.
        """
        ...


@runtime_checkable
class ReferenceCache(Protocol):
    """An adapter that keeps what it prepared from recordings."""

    def forget(self, reference_sha256: str) -> None:
        """Drop what was prepared from a recording; may be called in any thread.

        Args:
            reference_sha256: ``ReferenceAudio.sha256`` of the recording.
        """
        ...
