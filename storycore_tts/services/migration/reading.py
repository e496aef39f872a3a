"""Parses Python and YAML files.

Texts have one character per byte of their file, which preserves them exactly. The parsers receive
the bytes and detect the encoding.
"""

from __future__ import annotations

import ast
from typing import Any

import yaml

from storycore_tts.services.migration.errors import UnfitFile

MISSING = object()
"""Returned by ``setting`` for a missing key."""


def parsed(path: str, text: str) -> ast.Module:
    """Return the syntax tree of a file.

    Raises:
        UnfitFile: The running Python version cannot parse it.
    """
    try:
        return ast.parse(text.encode("latin-1"), path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnfitFile(f"{path} cannot be parsed as Python: {error}.") from None


def import_line(tree: ast.Module, package: str) -> int | None:
    """Return the number of a line that imports from a package, or None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            from_ = getattr(node, "module", None)
            names = [from_] if from_ else [alias.name for alias in node.names]
            if any(f"{name}.".startswith(f"{package}.") for name in names):
                return node.lineno
    return None


def public_names(tree: ast.Module) -> set[str]:
    """Return the names of a module's public classes, functions and constants."""
    defined = set()
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            defined.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
            listed = ast.walk(statement) if "__all__" in names else ()
            defined |= {name for name in names if name.isupper()}
            defined |= {str(node.value) for node in listed if isinstance(node, ast.Constant)}
    return {name for name in defined if not name.startswith("_")}


def settings(path: str, text: str) -> dict[str, Any]:
    """Return the contents of a YAML file.

    Raises:
        UnfitFile: It is not valid YAML, not a single document, or not a mapping.
    """
    try:
        document = yaml.safe_load(text.encode("latin-1"))
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError) as error:
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UnfitFile(f"{path} is not a single document of plain YAML: {said}.") from None
    if not isinstance(document, dict | None):
        raise UnfitFile(f"{path}: the document is not a mapping.")
    return document or {}


def setting(path: str, text: str, *keys: str) -> Any:
    """Return the value of ``tts.qwen.<keys>`` in a file, or MISSING.

    Raises:
        UnfitFile: See ``settings``.
    """
    value: Any = settings(path, text)
    for key in ("tts", "qwen", *keys):
        if not isinstance(value, dict) or key not in value:
            return MISSING
        value = value[key]
    return value
