"""The packages of the extra ``trust``, imported on first use."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from storycore_tts.errors import ConfigurationError


def c2pa_package() -> ModuleType:
    """Return the package ``c2pa``.

    Raises:
        ConfigurationError: The extra ``trust`` is not installed, or does not run here.
    """
    try:
        return import_module("c2pa")
    except (ImportError, OSError, RuntimeError) as error:  # its library may not load here
        raise ConfigurationError(
            f"Signatures in sound files need the package c2pa, which cannot be loaded: {error}.",
            hint="Run: pip install 'storycore-tts[trust]'",
        ) from None
