"""Settings as the command line sees them: a file, the environment, and options above both."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from storycore_tts.domain.errors import ConfigurationError
from storycore_tts.entrypoints.cli.options import Settings

if TYPE_CHECKING:
    from storycore_tts.settings import LoadedConfig

_MASK = "***"
_HEADERS = "comfyui.headers"
_SECRETS = (f"{_HEADERS}.", "server.api_keys.", "server.database_url")
_USER_AND_PASSWORD = re.compile(r"(?<=//)[^/\s]*@")


def load(options: Settings) -> LoadedConfig:
    """Read the settings; the options of the command line override everything else.

    Raises:
        ConfigurationError: Something is refused; the file, the variable or the option is named.
    """
    from storycore_tts.settings import ENVIRONMENT_PREFIX, LoadedConfig, load_config

    given = {k: v for k, v in asdict(options).items() if k != "config" and v is not None}
    # Options are a layer above the environment, written the way the environment is written.
    names = {key: f"{ENVIRONMENT_PREFIX}{key.upper()}" for key in given}
    layer = {names[key]: json.dumps(value, ensure_ascii=False) for key, value in given.items()}
    called = {f"environment variable {name}": _option(key) for key, name in names.items()}
    try:
        loaded = load_config(options.config, environ={**os.environ, **layer})
    except ConfigurationError as error:
        raise _presentable(error, called) from None
    sources = {key: called.get(source, source) for key, source in loaded.sources.items()}
    return LoadedConfig(loaded.config, sources)


def masked(key: str, value: Any) -> Any:
    """Return a setting's value as it may be shown: some are secrets, or hold one."""
    return _MASK if key.startswith(_SECRETS) and value is not None else value


def _option(key: str) -> str:
    return "--url" if key == "comfyui_url" else f"--{key.replace('_', '-')}"


def _presentable(error: ConfigurationError, called: dict[str, str]) -> ConfigurationError:
    """Name the option in place of the variable that stood for it, and hide secrets."""
    source = error.source or ""
    message, value = error.message.replace(source, called.get(source, source)), error.value
    if _HEADERS in (error.key or ""):
        message, value = message.replace(repr(value), _MASK), _MASK
    return ConfigurationError(
        _USER_AND_PASSWORD.sub(f"{_MASK}@", message),
        source=called.get(source, source) or None,
        key=error.key,
        value=value,
        allowed=error.allowed,
        hint=error.hint,
    )
