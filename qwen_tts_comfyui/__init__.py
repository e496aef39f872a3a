"""Compatibility names of the engine's former ``qwen_tts_comfyui`` package.

The configuration classes are those of ``storycore_tts``, which are flat:
``QwenTTSConfig(model_choice=…)``. Failures raise exceptions; results have ``audio_path``,
``duration`` and ``sample_rate``.
"""

from storycore_tts.domain.presets import STYLES as VOICE_INSTRUCTIONS
from storycore_tts.domain.presets import style_instruct as get_voice_instruction
from storycore_tts.domain.speech import TrainedVoice as TrainingResult
from storycore_tts.entrypoints.client import VoiceResult as AudioResult
from storycore_tts.entrypoints.legacy.client import (
    QwenTTSComfyUIClient,
    QwenTTSComfyUIClientSync,
    QwenTTSVoiceCloneConfig,
    create_client,
)
from storycore_tts.settings import (
    QwenTTSConfig,
    QwenTTSGenerationConfig,
    QwenTTSModelConfig,
    QwenTTSTrainingConfig,
)

__all__ = [
    "VOICE_INSTRUCTIONS",
    "AudioResult",
    "QwenTTSComfyUIClient",
    "QwenTTSComfyUIClientSync",
    "QwenTTSConfig",
    "QwenTTSGenerationConfig",
    "QwenTTSModelConfig",
    "QwenTTSTrainingConfig",
    "QwenTTSVoiceCloneConfig",
    "TrainingResult",
    "create_client",
    "get_voice_instruction",
]
