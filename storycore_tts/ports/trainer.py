"""The port for training a voice."""

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
        """Train a voice. Cancelling the task also cancels the job on the backend.

        Args:
            request: Dataset, voice and hyperparameters.
            on_progress: Called with the job's progress.

        Raises:
            InvalidRequest: The language is not supported, or a value is out of range.
            InvalidDataset: The dataset cannot be used for training.
            BackendUnavailable: The backend cannot be reached or used.
            GenerationFailed: The backend failed.
            JobCancelled: The job was cancelled on the backend, not by this client.
        """
        ...
