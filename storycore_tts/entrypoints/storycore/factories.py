"""The engine's factories, by their own names."""

from __future__ import annotations

from pathlib import Path

from storycore_tts.entrypoints.storycore.editor import QWEN, AIConfig, QwenComfyUITTSService
from storycore_tts.entrypoints.storycore.production import QwenTTSService
from storycore_tts.errors import InvalidRequest
from storycore_tts.settings import QwenTTSConfig


def create_tts_service(
    ai_config: AIConfig | None = None, *, config: QwenTTSConfig | str | Path | None = None
) -> QwenComfyUITTSService:
    """Return what the engine's ``create_tts_service`` answers with where "qwen" is to speak.

    Args:
        ai_config: The engine's ``AIConfig``; None: as configured here.
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        InvalidRequest: The ``AIConfig`` asks for another model.
        ConfigurationError: The settings are refused.
    """
    if ai_config is not None and ai_config.tts_model != QWEN:
        raise InvalidRequest(
            f"This package speaks with {QWEN!r}, not with {ai_config.tts_model!r}.",
            hint="The engine's own TTSService is for the other models.",
        )
    return QwenComfyUITTSService(ai_config, config=config)


def create_qwen_tts_service(
    comfyui_url: str | None = None,
    model_choice: str | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> QwenTTSService:
    """Return a ``QwenTTSService``; see there for the arguments.

    Raises:
        ConfigurationError: The settings are refused.
    """
    return QwenTTSService(comfyui_url, model_choice, device, precision)
