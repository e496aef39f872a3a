"""Warnings that name what replaces an old class."""

from __future__ import annotations

import warnings

from storycore_tts.settings import QwenTTSConfig


def deprecated(config: QwenTTSConfig, name: str, replacement: str) -> None:
    """Warn that an old class is used, if the settings ask for it.

    Args:
        config: The settings; ``deprecate_legacy`` decides.
        name: The old class.
        replacement: What to use in its place.
    """
    if config.deprecate_legacy:
        warnings.warn(f"{name} is deprecated; use {replacement}.", DeprecationWarning, stacklevel=3)
