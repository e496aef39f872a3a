"""Settings in YAML files, read for their meaning and edited as text.

The parser says where things are; the text around them is never written anew. Each edit is held
against the meaning of the whole file: only the keys that it is about may differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from storycore_tts.services.migration.errors import AnchorNotFound, UnfitFile
from storycore_tts.services.migration.regions import Put, put_in

_BLOCK = ("tts", "qwen")
_DEPTH = 2  # columns that a level of ours is indented by
_BY_HAND = "Change the file by hand; documentation/MIGRATION.md shows what belongs there."


@dataclass(frozen=True)
class Setting:
    """A value in a settings file, and the line that it stands in."""

    value: Any
    line: int


def setting(path: str, text: str, *keys: str) -> Setting | None:
    """Return what a file says of ``tts.qwen.<keys>``, or None if it says nothing.

    Raises:
        UnfitFile: It is not YAML, or not one document.
    """
    pair = _find(_composed(path, text), (*_BLOCK, *keys))
    if pair is None:
        return None
    key, value = pair
    return Setting(_constructed(path, value), key.start_mark.line + 1)


def block_put(path: str, text: str, lines: Sequence[str]) -> Put:
    """Return the edit that adds a ``tts.qwen`` block to a file without one.

    Args:
        path: The file, for messages.
        text: Its text; may be empty.
        lines: The keys below ``tts.qwen``, as YAML.

    Raises:
        AnchorNotFound: The file is written in a way that leaves no place for it.
        UnfitFile: It is not YAML, or not one document.
    """
    root = _composed(path, text)
    expected = yaml.safe_load("\n".join(lines))
    step = " " * _DEPTH
    nested = [f"{_BLOCK[1]}:", *(f"{step}{line}" for line in lines)]
    pair = _find(root, _BLOCK[:1])
    if pair is None:
        offset, indent = len(text), " " * _column(root)
        nested = [f"{_BLOCK[0]}:", *(f"{step}{line}" for line in nested)]
    else:
        offset, indent = _inside(path, text, *pair)
    put = Put(path, offset, offset, nested, indent, for_users=True)
    return _checked(text, put, expected)


def value_put(path: str, text: str, key: str, value: str, *, note: str = "") -> Put:
    """Return the edit that gives a key directly below ``tts.qwen`` a value.

    Args:
        path: The file, for messages.
        text: Its text, with a ``tts.qwen`` block.
        key: The key, there or not.
        value: What it is to be, as YAML.
        note: A comment for a line that is new.

    Raises:
        AnchorNotFound: The file is written in a way that leaves no place for it.
        UnfitFile: It is not YAML, or not one document.
    """
    root = _composed(path, text)
    pair = _find(root, (*_BLOCK, key))
    if pair is not None:
        put = _line_put(path, text, pair[0], pair[1], value)
    else:
        block = _find(root, _BLOCK)
        if block is None:
            raise AnchorNotFound(f"{path} has no tts.qwen.", hint=_BY_HAND)
        offset, indent = _inside(path, text, *block)
        line = f"{key}: {value}"
        lines = [f"{line}  # {note}" if note else line]
        put = Put(path, offset, offset, lines, indent, for_users=True)
    return _checked(text, put, {key: yaml.safe_load(value)})


def _composed(path: str, text: str) -> yaml.MappingNode | None:
    """Return the document's mapping; None for a document without content."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or "it cannot be read"
        raise UnfitFile(f"{path}{where}: this is not one document of YAML: {said}.") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return None
    if not isinstance(root, yaml.MappingNode):
        raise UnfitFile(f"{path}: the document is not a mapping.")
    return root


def _find(root: yaml.Node | None, keys: Sequence[str]) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the nodes of a key and of its value."""
    pair, node = None, root
    for name in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        pair = next(((k, v) for k, v in pairs if k.value == name), None)
        if pair is None:
            return None
        node = pair[1]
    return pair


def _constructed(path: str, node: yaml.Node) -> Any:
    try:
        return yaml.constructor.SafeConstructor().construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise UnfitFile(f"{path}: tts.qwen cannot be read: {error}.") from None


def _column(mapping: yaml.MappingNode | None) -> int:
    """Return the column in which a mapping's keys stand."""
    return int(mapping.value[0][0].start_mark.column) if mapping and mapping.value else 0


def _inside(path: str, text: str, key: yaml.Node, value: yaml.Node) -> tuple[int, str]:
    """Return the offset behind a key's line, and the indentation of what belongs below it."""
    empty = isinstance(value, yaml.ScalarNode) and not value.value and not value.style
    if empty and value.start_mark.index == value.end_mark.index:
        column = key.start_mark.column + _DEPTH
    elif isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
        column = _column(value)
    else:
        raise AnchorNotFound(
            f"{path}, line {key.start_mark.line + 1}: nothing can be added to {key.value}, because"
            " its value is not a block of lines.",
            hint=_BY_HAND,
        )
    return _line_end(text, key.end_mark.index), " " * column


def _line_end(text: str, offset: int) -> int:
    """Return the offset behind the line that an offset lies in."""
    return text.find("\n", offset) + 1 or len(text)


def _line_put(path: str, text: str, key: yaml.Node, value: yaml.Node, new: str) -> Put:
    """Return the edit that gives the one line of a key another value; its comment stays."""
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    indent = text[start : key.start_mark.index]
    first, last = value.start_mark.index, value.end_mark.index
    end = _line_end(text, last)
    if indent.strip() or not start <= first <= last or "\n" in text[start:end].rstrip("\r\n"):
        raise AnchorNotFound(
            f"{path}, line {key.start_mark.line + 1}: {key.value} is not on one line of its own.",
            hint=_BY_HAND,
        )
    space = "" if text[first - 1].isspace() else " "
    rest = text[last:end].rstrip("\r\n")
    line = f"{text[key.start_mark.index : first]}{space}{new}{rest}"
    return Put(path, start, end, [line], indent, for_users=True)


def _checked(text: str, put: Put, expected: Mapping[str, Any]) -> Put:
    """Return an edit that does what it should and changes the meaning of nothing else."""
    result, _ = put_in(text, put, phase=0, name="check")
    skipped = frozenset((*_BLOCK, key) for key in expected)
    try:
        before, after = _composed(put.path, text), _composed(put.path, result)
        same = _meaning(before, skipped) == _meaning(after, skipped)
        found = {key: setting(put.path, result, key) for key in expected}
    except (UnfitFile, RecursionError):
        same, found = False, {}
    if not same or any(got is None or got.value != expected[key] for key, got in found.items()):
        raise AnchorNotFound(
            f"{put.path}: {', '.join(expected)} cannot be set without touching other settings.",
            hint=_BY_HAND,
        )
    return put


def _meaning(
    node: yaml.Node | None, skipped: frozenset[tuple[str, ...]], at: tuple[str, ...] = ()
) -> Any:
    """Return all that a document says, apart from some keys; None where nothing is left."""
    if isinstance(node, yaml.MappingNode):
        pairs = [
            (_meaning(key, frozenset()), _meaning(value, skipped, (*at, str(key.value))))
            for key, value in node.value
            if (*at, key.value) not in skipped
        ]
        ours = [*map(str, _BLOCK)]
        kept = [(k, v) for k, v in pairs if v is not None or k is None or k[1] not in ours]
        return (node.tag, kept) if kept or list(at) != ours[: len(at)] else None
    if isinstance(node, yaml.SequenceNode):
        return node.tag, [_meaning(item, frozenset()) for item in node.value]
    if node is None or (not node.value and list(at) == list(_BLOCK[: len(at)])):
        return None
    return node.tag, node.value
