"""The port for speech in the voice of a recording."""

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
        """Speak a line. Cancelling the task also cancels the job on the backend.

        Args:
            request: The text, the reference recording and the parameters.
            on_progress: Called with the job's progress.

        Raises:
            InvalidRequest: The language is not supported, or a value is out of range.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed, or its audio is silent or never ends.
            JobCancelled: The job was cancelled on the backend, not by this client.
        """
        ...
