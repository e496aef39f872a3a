"""Loads settings from the defaults, a file and the environment, and records their origins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from storycore_tts.errors import ConfigurationError, shown
from storycore_tts.settings.block import moved
from storycore_tts.settings.config import QwenTTSConfig
from storycore_tts.settings.documents import Document, read_document

ENVIRONMENT_PREFIX = "STORYCORE_TTS_"
CONFIG_VARIABLE = "STORYCORE_TTS_CONFIG"
# Variables with our prefix that are not settings: the path of the file, and options of the tests.
_NOT_SETTINGS = (
    CONFIG_VARIABLE,
    "STORYCORE_TTS_LIVE_COMFYUI_URL",
    "STORYCORE_TTS_LIVE_MODEL_DIR",
    "STORYCORE_TTS_FAULT_SEED",
)
_MOST_VALUES = 1000  # in one file; YAML aliases can expand to any number of them
_DEEPEST = 3  # parts of a key, as in comfyui.timeouts.idle
_USUAL_FILES = (
    "storycore-tts.yaml",
    "config/storycore-tts.yaml",
    "data/storycore-tts.yaml",  # StoryCore-Engine's container has data/, and no config/
    "config/default.yaml",
)


@dataclass(frozen=True)
class Origin:
    """Where a setting comes from.

    Args:
        source: "default", the path of a file, ``environment variable NAME``, or the name of an
            option.
        line: Line in the file, from 1; None if it does not come from a file.
    """

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


_DEFAULT = Origin("default")


@dataclass(frozen=True)
class LoadedConfig:
    """Settings and their origins.

    Args:
        config: The settings in force.
        origins: Origin of each value, by dotted key below ``tts.qwen``.
    """

    config: QwenTTSConfig
    origins: Mapping[str, Origin]

    @property
    def sources(self) -> dict[str, str]:
        """Source of each value ("default", a file or a variable), by key below ``tts.qwen``."""
        return {key: origin.source for key, origin in self.origins.items()}

    def origin(self, key: str) -> Origin:
        """Return the origin of a setting, or of the enclosing block if it was given as a whole.

        Args:
            key: Dotted key below ``tts.qwen``.
        """
        return next((self.origins[k] for k in _around(key) if k in self.origins), _DEFAULT)


def load_config(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, tuple[str, Any]] = MappingProxyType({}),
) -> LoadedConfig:
    """Load the settings from the defaults, then a file, then the environment.

    Args:
        path: A YAML file with a ``tts.qwen`` block; other content is ignored. None: the file that
            STORYCORE_TTS_CONFIG names, else ``storycore-tts.yaml``, ``config/storycore-tts.yaml``,
            ``data/storycore-tts.yaml`` or ``config/default.yaml`` in the working directory, else
            only the defaults.
        environ: The environment; None: that of the process.
        options: Values that override all others, as name in error messages -> (key, value), such as
            ``{"--url": ("comfyui_url", "http://…")}``.

    Raises:
        ConfigurationError: The file cannot be read, or a key or value is invalid.
    """
    environment = os.environ if environ is None else environ
    file = _config_file(path, environment)
    settings: _Tree = {}
    for key, setting in chain(
        _defaults().items(),
        () if file is None else _of_file(read_document(file), str(file)),
        _of_environment(environment),
        (((key,), (value, Origin(name))) for name, (key, value) in options.items()),
    ):
        _put(settings, key, setting)
    origins = {".".join(key): block[name][1] for key, name, block in _leaves(settings)}
    try:
        config = QwenTTSConfig(**_values(settings))
    except ConfigurationError as error:
        raise _located(error, origins) from None
    return LoadedConfig(config, origins)


def settings_files(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """Return the file that ``load_config`` reads, or the candidates of which it reads the first.

    Args:
        path: See ``load_config``.
        environ: The environment; None: that of the process.
    """
    named = path or (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    return (Path(named),) if named else tuple(map(Path, _USUAL_FILES))


_Key: TypeAlias = tuple[str, ...]
_Setting: TypeAlias = tuple[Any, Origin]  # a value and its origin
_Tree: TypeAlias = dict[str, Any]  # nested dictionaries of settings


def _put(tree: _Tree, key: _Key, setting: _Setting) -> None:
    """Set a value, replacing any value or block at its key or above it."""
    for name in key[:-1]:
        below = tree.get(name)
        if not isinstance(below, dict):
            below = tree[name] = {}
        tree = below
    tree[key[-1]] = setting


def _values(tree: _Tree) -> dict[str, Any]:
    return {k: _values(v) if isinstance(v, dict) else v[0] for k, v in tree.items()}


def _leaves(
    block: Mapping[Any, Any], above: _Key = ()
) -> Iterator[tuple[_Key, Any, Mapping[Any, Any]]]:
    """Walk the tree to the depth of settings, because a YAML alias may contain itself.

    Yields:
        The key of each value, its name in the mapping that holds it, and that mapping.
    """
    for name, value in block.items():
        key = (*above, str(name))
        if isinstance(value, dict) and value and len(key) < _DEEPEST:
            yield from _leaves(value, key)
        else:
            yield key, name, block


@cache
def _defaults() -> Mapping[_Key, _Setting]:
    values = QwenTTSConfig.model_construct().model_dump()
    return {key: (block[name], _DEFAULT) for key, name, block in _leaves(values)}


def _config_file(path: str | Path | None, environment: Mapping[str, str]) -> Path | None:
    files = settings_files(path, environ=environment)
    if len(files) == 1:  # named explicitly
        return files[0]
    return next((file for file in files if file.is_file()), None)


def _of_file(document: Document, source: str) -> Iterator[tuple[_Key, _Setting]]:
    found = _leaves(_block_of(document.value, source))
    for number, (key, name, block) in enumerate(found, start=1):
        if number > _MOST_VALUES:
            raise ConfigurationError(
                f"{source}: tts.qwen holds more than {_MOST_VALUES} values.", source=source
            )
        yield key, (block[name], Origin(source, document.line(block, name)))


def _block_of(document: Any, source: str) -> Mapping[Any, Any]:
    """Return the ``tts.qwen`` block of a document, or {} if it has none."""
    block = document
    for key, below in (("", "tts"), ("tts", "qwen"), ("tts.qwen", "")):
        if block is None:
            break
        if not isinstance(block, dict):
            raise ConfigurationError(
                f"{source}: {key or 'the document'} must be a mapping, not {shown(block)}.",
                source=source,
                key=key,
                value=block,
                allowed="a mapping",
            )
        block = block.get(below) if below else block
    return block or {}


def _of_environment(environment: Mapping[str, str]) -> Iterator[tuple[_Key, _Setting]]:
    """Parse STORYCORE_TTS_GENERATION__TOP_P=0.9 as ``generation.top_p``; values are YAML."""
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NOT_SETTINGS:
            key = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
            yield key, (Document(text, name).value, Origin(f"environment variable {name}"))


def _located(refusal: ConfigurationError, origins: Mapping[str, Origin]) -> ConfigurationError:
    """Add the file and line, or the variable, that holds the invalid value. Defaults are valid."""
    if refusal.allowed is None:  # not about a value
        return refusal
    given = {key: origin for key, origin in origins.items() if origin is not _DEFAULT}
    origin = next(  # for a missing key, or a value in place of a mapping: the enclosing block
        (o for place in _around(refusal.key or "") for k, o in given.items() if _lies_in(k, place)),
        Origin(""),
    )
    return moved(refusal, f"tts.qwen.{refusal.key}", source=origin.source, line=origin.line)


def _around(key: str) -> list[str]:
    """Return a key and those of its enclosing blocks, innermost first."""
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _lies_in(key: str, place: str) -> bool:
    return f"{key}.".startswith(f"{place}.")
