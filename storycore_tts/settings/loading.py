"""Settings from the defaults, a file and the environment, and where each came from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from storycore_tts.domain.errors import ConfigurationError, shown
from storycore_tts.settings.block import refused
from storycore_tts.settings.config import QwenTTSConfig

ENVIRONMENT_PREFIX = "STORYCORE_TTS_"
CONFIG_VARIABLE = "STORYCORE_TTS_CONFIG"
# Variables of ours that are no settings: where the file is, and what tests run against and with.
_NOT_SETTINGS = (
    CONFIG_VARIABLE,
    "STORYCORE_TTS_LIVE_COMFYUI_URL",
    "STORYCORE_TTS_LIVE_MODEL_DIR",
    "STORYCORE_TTS_FAULT_SEED",
)
_MOST_LEAVES = 1000  # values in one file; an alias in YAML can stand for any number of them
_DEEPEST = 3  # parts of a key, as in comfyui.timeouts.idle
_USUAL_FILES = (
    "storycore-tts.yaml",
    "config/storycore-tts.yaml",
    "data/storycore-tts.yaml",  # StoryCore-Engine's container has data/, and no config/
    "config/default.yaml",
)


@dataclass(frozen=True)
class LoadedConfig:
    """Settings, and where each of them came from.

    Args:
        config: The settings in force.
        sources: Dotted key below ``tts.qwen`` -> "default", a file's path, or a variable's name.
    """

    config: QwenTTSConfig
    sources: Mapping[str, str]


def load_config(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> LoadedConfig:
    """Read the defaults, then a file, then the environment.

    Args:
        path: A YAML file with a ``tts.qwen`` block, among whatever else. None: the file that
            STORYCORE_TTS_CONFIG names, else ``storycore-tts.yaml``, ``config/storycore-tts.yaml``,
            ``data/storycore-tts.yaml`` or ``config/default.yaml`` in the working directory, else
            the defaults alone.
        environ: The environment; None for the process's own.

    Raises:
        ConfigurationError: Something in it is refused.
    """
    environment = os.environ if environ is None else environ
    layers = [_layer("default", _default_yaml())]
    file = _config_file(path, environment)
    if file is not None:
        layers.append(_layer(str(file), _read(file)))
    layers += _environment_layers(environment)

    leaves: dict[tuple[str, ...], Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.leaves.items():
            for stale in [k for k in leaves if k[: len(key)] == key or key[: len(k)] == k]:
                del leaves[stale]
                sources.pop(".".join(stale), None)
            leaves[key] = value
            sources[".".join(key)] = layer.source
    try:
        config = QwenTTSConfig(**_nested(leaves))
    except ConfigurationError as error:
        raise _located(error, sources) from None
    return LoadedConfig(config, sources)


def settings_files(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """Return the file that ``load_config`` reads, or those of which it reads the first.

    Args:
        path: See ``load_config``.
        environ: The environment; None for the process's own.
    """
    named = path or (os.environ if environ is None else environ).get(CONFIG_VARIABLE)
    return (Path(named),) if named else tuple(map(Path, _USUAL_FILES))


@dataclass(frozen=True)
class _Layer:
    """Settings from one place."""

    source: str
    leaves: Mapping[tuple[str, ...], Any]


class _Yaml(yaml.SafeLoader):
    """YAML as people mean it: ``2e-5`` is a number, and a key that stands twice is a mistake."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
            seen.add((key.tag, key.value))
        return node


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


# What SafeLoader raises at a date such as 2026-99-99, and at tags such as !!int '' or !!bool x.
_UNFIT_TAGS = (ValueError, TypeError, AttributeError, LookupError, OverflowError)


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Yaml)  # noqa: S506 — a SafeLoader
    except (yaml.YAMLError, *_UNFIT_TAGS, RecursionError) as error:
        raise ConfigurationError(
            f"{source} is not valid YAML: {_yaml_problem(error)}.", source=source
        ) from None


def _yaml_problem(error: Exception) -> str:
    """Say what is wrong and where, without the line itself: it may hold a password."""
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return f"{' '.join(str(said).split())}{where}"


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        raise ConfigurationError(
            f"Cannot read the settings in {path}: {error}.", source=str(path)
        ) from None
    return _parse(text, str(path))


def _default_yaml() -> Any:
    return _parse(files("storycore_tts").joinpath("default.yaml").read_text("utf-8"), "default")


def _config_file(path: str | Path | None, environment: Mapping[str, str]) -> Path | None:
    files = settings_files(path, environ=environment)
    if len(files) == 1:  # it was named
        return files[0]
    return next((file for file in files if file.is_file()), None)


def _block_of(document: Any, source: str) -> dict[str, Any]:
    """Return the ``tts.qwen`` block of a document that may hold other things, or {}."""
    block, key = document, ""
    for name in ("tts", "qwen"):
        if block is None:
            return {}
        if not isinstance(block, dict):
            raise ConfigurationError(
                f"{source}: {key or 'the document'} must be a mapping, not {shown(block)}.",
                source=source,
                key=key,
                value=block,
                allowed="a mapping",
            )
        block, key = block.get(name), f"{key}.{name}".lstrip(".")
    if not isinstance(block, dict | None):
        raise ConfigurationError(
            f"{source}: tts.qwen must be a mapping, not {shown(block)}.",
            source=source,
            key=key,
            value=block,
            allowed="a mapping",
        )
    return block or {}


def _environment_layers(environment: Mapping[str, str]) -> Iterator[_Layer]:
    """Read STORYCORE_TTS_GENERATION__TOP_P=0.9 as ``generation.top_p``; the value is YAML."""
    for name, text in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in _NOT_SETTINGS:
            key = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
            yield _Layer(f"environment variable {name}", {key: _parse(text, name)})


def _layer(source: str, document: Any) -> _Layer:
    leaves: dict[tuple[str, ...], Any] = {}
    for number, (path, value) in enumerate(_leaves(_block_of(document, source)), start=1):
        if number > _MOST_LEAVES:
            raise ConfigurationError(
                f"{source}: tts.qwen holds more than {_MOST_LEAVES} values.", source=source
            )
        leaves[path] = value
    return _Layer(source, leaves)


def _leaves(
    block: Mapping[Any, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk as deep as settings go: an alias in a document may contain itself."""
    for key, value in block.items():
        path = (*above, str(key))
        if isinstance(value, dict) and value and len(path) < _DEEPEST:
            yield from _leaves(value, path)
        else:
            yield path, value


def _nested(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    block: dict[str, Any] = {}
    for path, value in leaves.items():
        place = block
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return block


def _located(refusal: ConfigurationError, sources: Mapping[str, str]) -> ConfigurationError:
    """Say which file, or which variable, the refused value stands in."""
    key = refusal.key or ""
    while (source := _source_of(key, sources)) is None and "." in key:
        key = key.rpartition(".")[0]  # a key that is missing, or a value where a mapping belongs
    return refused(
        f"tts.qwen.{refusal.key}",
        refusal.value,
        refusal.allowed or "",
        unknown_key=refusal.unknown_key,
        source=source or "",
    )


def _source_of(key: str, sources: Mapping[str, str]) -> str | None:
    return next((s for k, s in sources.items() if k == key or k.startswith(f"{key}.")), None)
