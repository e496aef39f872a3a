"""What ``QwenTTSService`` answers with, by the engine's names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class QwenTTSVoice:
    """A voice that can be asked for.

    Args:
        id: What ``text_to_speech`` takes.
        name: For people to read.
        language: Its code ("fr"), or "auto".
        gender: "female", "male" or "unknown".
        description: How it sounds.
        is_custom: It was registered here.
        custom_model_path: Folder of its checkpoint, as the backend sees it.
        custom_speaker_name: The name that it was trained under.
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
    """Speech in a file, or why there is none.

    Args:
        success: Whether there is a file.
        audio_path: The file, on this machine.
        duration: In seconds.
        sample_rate: In Hz.
        text: What was to be said.
        voice: Who was to say it, as it was asked for.
        speaker: The voice that said it; "" for a clone.
        error_message: What went wrong, and what to do.
        warnings: What was done in spite of doubts.
        created_at: When.
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
    """A trained voice, or why there is none.

    Args:
        success: Whether there is a checkpoint.
        checkpoint_path: Its folder, as the backend sees it.
        output_dir: Where checkpoints go.
        speaker_name: The voice's name.
        num_epochs: Epochs that were finished.
        final_loss: Of the last epoch that reported one.
        training_time: In seconds.
        error_message: What went wrong, and what to do.
        warnings: What was done in spite of doubts.
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
