"""Compatibility imports of the configuration classes."""

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
