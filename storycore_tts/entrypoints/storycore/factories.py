"""Replacements for the engine's factory functions, under the same names."""

from __future__ import annotations

from pathlib import Path

from storycore_tts.entrypoints.storycore.editor import QWEN, AIConfig, QwenComfyUITTSService
from storycore_tts.entrypoints.storycore.production import QwenTTSService
from storycore_tts.errors import InvalidRequest
from storycore_tts.settings import QwenTTSConfig


def create_tts_service(
    ai_config: AIConfig | None = None, *, config: QwenTTSConfig | str | Path | None = None
) -> QwenComfyUITTSService:
    """Return the service that the engine's ``create_tts_service`` returns for the model "qwen".

    Args:
        ai_config: The engine's ``AIConfig``; None: as configured in the settings.
        config: Settings, the path of a YAML file, or None for the default locations.

    Raises:
        InvalidRequest: ``ai_config.tts_model`` is another model.
        ConfigurationError: The settings are invalid.
    """
    if ai_config is not None and ai_config.tts_model != QWEN:
        raise InvalidRequest(
            f"This package supports only the model {QWEN!r}, not {ai_config.tts_model!r}.",
            hint="Use the engine's own TTSService for other models.",
        )
    return QwenComfyUITTSService(ai_config, config=config)


def create_qwen_tts_service(
    comfyui_url: str | None = None,
    model_choice: str | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> QwenTTSService:
    """Return a ``QwenTTSService``, which documents the arguments.

    Raises:
        ConfigurationError: The settings are invalid.
    """
    return QwenTTSService(comfyui_url, model_choice, device, precision)
