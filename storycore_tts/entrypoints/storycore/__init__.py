"""Integration with StoryCore-Engine: the interfaces that its code expects.

::

    service = AIVideoEditorService(AIConfig(tts_model="qwen"))
    storycore_tts.install(service)
"""

from storycore_tts.entrypoints.storycore.editor import (
    QwenComfyUITTSService,
    TTSResult,
    install,
    uninstall,
)
from storycore_tts.entrypoints.storycore.factories import (
    create_qwen_tts_service,
    create_tts_service,
)
from storycore_tts.entrypoints.storycore.production import QwenTTSService
from storycore_tts.entrypoints.storycore.results import (
    QwenTTSGenerationResult,
    QwenTTSVoice,
    TrainingResult,
)
from storycore_tts.entrypoints.storycore.scenes import SpokenScene, speak_scene

__all__ = [
    "QwenComfyUITTSService",
    "QwenTTSGenerationResult",
    "QwenTTSService",
    "QwenTTSVoice",
    "SpokenScene",
    "TTSResult",
    "TrainingResult",
    "create_qwen_tts_service",
    "create_tts_service",
    "install",
    "speak_scene",
    "uninstall",
]
