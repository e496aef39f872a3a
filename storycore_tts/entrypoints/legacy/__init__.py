"""The engine's old classes, reimplemented with the same interface."""

from storycore_tts.entrypoints.legacy.integration import Qwen3TTSIntegration
from storycore_tts.entrypoints.legacy.prompts import Qwen3TTSPromptStrategy

__all__ = ["Qwen3TTSIntegration", "Qwen3TTSPromptStrategy"]
