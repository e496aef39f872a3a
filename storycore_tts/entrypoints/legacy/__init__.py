"""The engine's old classes, on top of the ports: the same calls, with voices that exist."""

from storycore_tts.entrypoints.legacy.integration import Qwen3TTSIntegration
from storycore_tts.entrypoints.legacy.prompts import Qwen3TTSPromptStrategy

__all__ = ["Qwen3TTSIntegration", "Qwen3TTSPromptStrategy"]
