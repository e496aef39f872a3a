"""Text to speech, in a voice that has a name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.domain.voices import Speaker


@runtime_checkable
class SpeechSynthesizer(Protocol):
    """Speaks a line in a built-in voice, or in that of a fine-tuned checkpoint."""

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """Speak; cancelling the task stops the job on the backend too.

        Raises:
            InvalidRequest: Unknown speaker, unsupported language, a value out of range.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed, or delivered silence or a runaway.
            JobCancelled: The job was stopped on the backend, not by us.
        """
        ...

    async def speakers(self) -> list[Speaker]:
        """List the built-in voices, as the backend itself names them.

        Raises:
            BackendUnavailable: The backend cannot be reached or used.
        """
        ...
