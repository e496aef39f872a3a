"""The port for speech in a named voice."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.domain.voices import Speaker


@runtime_checkable
class SpeechSynthesizer(Protocol):
    """Speaks a line in a built-in voice or the voice of a fine-tuned checkpoint."""

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """Speak a line. Cancelling the task also cancels the job on the backend.

        Args:
            request: The text, the speaker and the parameters.
            on_progress: Called with the job's progress.

        Raises:
            InvalidRequest: The speaker is unknown, the language is not supported, or a value is out
                of range.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed, or its audio is silent or never ends.
            JobCancelled: The job was cancelled on the backend, not by this client.
        """
        ...

    async def speakers(self) -> list[Speaker]:
        """List the built-in voices, by the backend's names.

        Raises:
            BackendUnavailable: The backend cannot be reached or used.
        """
        ...
