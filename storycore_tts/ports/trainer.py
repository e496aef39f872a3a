"""A voice of one's own."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.domain.speech import TrainedVoice


@runtime_checkable
class VoiceTrainer(Protocol):
    """Fine-tunes a model to one speaker."""

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """Train; cancelling the task stops the job on the backend too.

        Raises:
            InvalidRequest: Unsupported language, a value out of range.
            InvalidDataset: The folder cannot be trained on.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed.
            JobCancelled: The job was stopped on the backend, not by us.
        """
        ...
