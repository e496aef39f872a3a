"""What the old package's client takes, for those who import it from here."""

from storycore_tts.entrypoints.legacy.client import QwenTTSVoiceCloneConfig
from storycore_tts.settings import (
    QwenTTSConfig,
    QwenTTSGenerationConfig,
    QwenTTSModelConfig,
    QwenTTSTrainingConfig,
)

__all__ = [
    "QwenTTSConfig",
    "QwenTTSGenerationConfig",
    "QwenTTSModelConfig",
    "QwenTTSTrainingConfig",
    "QwenTTSVoiceCloneConfig",
]
