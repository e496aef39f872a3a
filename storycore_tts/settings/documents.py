"""YAML documents that know the line of each key."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import yaml

from storycore_tts.errors import ConfigurationError

# Raised by SafeLoader for a date such as 2026-99-99, and for tags such as !!int '' or !!bool x.
_UNFIT_TAGS = (ValueError, TypeError, AttributeError, LookupError, OverflowError)


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads ``2e-5`` as a number, rejects duplicate keys and records lines."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lines: dict[int, dict[Any, int]] = {}

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"duplicate key {key.value!r}", key.start_mark
                )
            seen.add((key.tag, key.value))
        return node

    def construct_yaml_map(self, node: yaml.MappingNode) -> Generator[dict[Any, Any], None, None]:
        block: dict[Any, Any] = {}
        yield block
        block.update(self.construct_mapping(node))
        self.lines[id(block)] = {
            self.construct_object(key): key.start_mark.line + 1 for key, _ in node.value
        }


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_yaml_map)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


class Document:
    """A YAML document.

    Args:
        text: The YAML text.
        source: Name of the document in error messages.

    Raises:
        ConfigurationError: The text is not valid YAML.
    """

    def __init__(self, text: str, source: str) -> None:
        try:
            loader = _Loader(text)
            self.value: Any = loader.get_single_data()
        except (yaml.YAMLError, *_UNFIT_TAGS, RecursionError) as error:
            raise ConfigurationError(
                f"{source} is not valid YAML: {_problem(error)}.", source=source
            ) from None
        self._lines = loader.lines

    def line(self, block: Mapping[Any, Any], key: Any) -> int | None:
        """Return the line of a key, from 1, or None if it is unknown.

        Args:
            block: One of the mappings in the document.
            key: The key in that mapping.
        """
        return self._lines.get(id(block), {}).get(key)


def read_document(path: Path) -> Document:
    """Read a YAML file.

    Args:
        path: A UTF-8 file.

    Raises:
        ConfigurationError: The file cannot be read, or is not valid YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
        raise ConfigurationError(
            f"Cannot read the settings in {path}: {error}.", source=str(path)
        ) from None
    return Document(text, str(path))


def _problem(error: Exception) -> str:
    """Describe the problem and its position, without quoting the line: it may hold a password."""
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return f"{' '.join(str(said).split())}{where}"
