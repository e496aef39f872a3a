"""Results of ``QwenTTSService``, under the engine's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class QwenTTSVoice:
    """An available voice.

    Args:
        id: Id for ``text_to_speech``.
        name: Display name.
        language: Language code ("fr"), or "auto".
        gender: "female", "male" or "unknown".
        description: Description of the voice.
        is_custom: Whether it was added with ``register_custom_voice``.
        custom_model_path: Folder of its checkpoint, as the backend sees it.
        custom_speaker_name: Name under which it was trained.
    """

    id: str
    name: str
    language: str
    gender: str
    description: str = ""
    is_custom: bool = False
    custom_model_path: str = ""
    custom_speaker_name: str = ""


@dataclass(frozen=True)
class QwenTTSGenerationResult:
    """Speech in a file, or an error.

    Args:
        success: Whether the file was written.
        audio_path: Path of the local file.
        duration: Duration in seconds.
        sample_rate: Sample rate in Hz.
        text: The requested text.
        voice: The requested voice.
        speaker: The voice that was used; "" for a clone.
        error_message: What went wrong, and what to do.
        warnings: Warnings about the result.
        created_at: Time of creation.
    """

    success: bool
    audio_path: str | None = None
    duration: float = 0.0
    sample_rate: int = 24_000
    text: str = ""
    voice: str = ""
    speaker: str = ""
    error_message: str | None = None
    warnings: tuple[str, ...] = ()
    created_at: datetime = field(default_factory=datetime.now)


@dataclass(frozen=True)
class TrainingResult:
    """A trained voice, or an error.

    Args:
        success: Whether there is a checkpoint.
        checkpoint_path: Folder of the checkpoint, as the backend sees it.
        output_dir: Folder of all checkpoints.
        speaker_name: Name of the voice.
        num_epochs: Number of finished epochs.
        final_loss: Loss of the last epoch that reported one.
        training_time: Duration in seconds.
        error_message: What went wrong, and what to do.
        warnings: Warnings about the result.
    """

    success: bool
    checkpoint_path: str | None = None
    output_dir: str | None = None
    speaker_name: str = ""
    num_epochs: int = 0
    final_loss: float | None = None
    training_time: float = 0.0
    error_message: str | None = None
    warnings: tuple[str, ...] = ()
