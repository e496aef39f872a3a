"""Settings of the command line: file, environment, and options, which override both."""

from __future__ import annotations

import copy
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli.options import Settings
from storycore_tts.errors import ConfigurationError

if TYPE_CHECKING:
    from storycore_tts.settings import LoadedConfig

MASK = "***"
"""Stands for a secret."""
_USER_AND_PASSWORD = re.compile(r"(?<=//)[^/\s]*(?=@)")


def load(options: Settings) -> LoadedConfig:
    """Load the settings; options of the command line override everything else.

    Args:
        options: The options.

    Raises:
        ConfigurationError: A setting is invalid; the message names the file, variable or option.
    """
    from storycore_tts.settings import load_config

    given = {k: v for k, v in asdict(options).items() if k != "config" and v is not None}
    try:
        return load_config(
            options.config, options={_option(key): (key, value) for key, value in given.items()}
        )
    except ConfigurationError as error:
        raise _presentable(error) from None


def _option(key: str) -> str:
    return "--url" if key == "comfyui_url" else f"--{key.replace('_', '-')}"


def _presentable(error: ConfigurationError) -> ConfigurationError:
    """Mask secrets, including those that the settings have already hidden."""
    error = copy.copy(error)
    error.message = _USER_AND_PASSWORD.sub(MASK, error.message.replace(repr("…"), MASK))
    error.args = (error.message,)
    return error
