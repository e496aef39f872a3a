"""Deprecation warnings for the engine's old classes."""

from __future__ import annotations

import warnings

from storycore_tts.settings import QwenTTSConfig


def deprecated(config: QwenTTSConfig, name: str, replacement: str) -> None:
    """Warn that an old class is used, if ``deprecate_legacy`` is set.

    Args:
        config: The settings.
        name: Name of the old class.
        replacement: What to use instead.
    """
    if config.deprecate_legacy:
        warnings.warn(f"{name} is deprecated; use {replacement}.", DeprecationWarning, stacklevel=3)
