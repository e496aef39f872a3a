"""Text to speech, in the voice of a recording."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import CloneRequest
from storycore_tts.domain.speech import Speech


@runtime_checkable
class VoiceCloner(Protocol):
    """Speaks a line in the voice of a reference recording."""

    async def clone(
        self, request: CloneRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """Speak; cancelling the task stops the job on the backend too.

        Raises:
            InvalidRequest: Unsupported language, a value out of range.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed, or delivered silence or a runaway.
            JobCancelled: The job was stopped on the backend, not by us.
        """
        ...
