"""The packages of the extra ``trust``, imported on first use."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from storycore_tts.errors import ConfigurationError


def c2pa_package() -> ModuleType:
    """Return the package ``c2pa``.

    Raises:
        ConfigurationError: The extra ``trust`` is not installed.
    """
    try:
        return import_module("c2pa")
    except ImportError as error:
        raise ConfigurationError(
            f"Signatures in sound files need a package that is not installed: {error}.",
            hint="Run: pip install 'storycore-tts[trust]'",
        ) from None
