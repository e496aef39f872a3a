"""What Python and YAML files say.

Texts hold one character for each byte of their file, so that all of it comes back as it was. The
parsers get the bytes: they know the encodings.
"""

from __future__ import annotations

import ast
from typing import Any

import yaml

from storycore_tts.services.migration.errors import UnfitFile

MISSING = object()
"""What ``setting`` returns for a key that is not there."""


def parsed(path: str, text: str) -> ast.Module:
    """Return the syntax tree of a file.

    Raises:
        UnfitFile: This Python does not understand it.
    """
    try:
        return ast.parse(text.encode("latin-1"), path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnfitFile(f"{path} is not Python that can be read: {error}.") from None


def import_line(tree: ast.Module, package: str) -> int | None:
    """Return the first line that imports from a package, anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            from_ = getattr(node, "module", None)
            names = [from_] if from_ else [alias.name for alias in node.names]
            if any(f"{name}.".startswith(f"{package}.") for name in names):
                return node.lineno
    return None


def public_names(tree: ast.Module) -> set[str]:
    """Return the classes, functions and constants that a module defines for others."""
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
    """Return what a YAML file says.

    Raises:
        UnfitFile: It is not YAML, not one document, or not a mapping.
    """
    try:
        document = yaml.safe_load(text.encode("latin-1"))
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError) as error:
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UnfitFile(f"{path} is not one document of plain YAML: {said}.") from None
    if not isinstance(document, dict | None):
        raise UnfitFile(f"{path}: the document is not a mapping.")
    return document or {}


def setting(path: str, text: str, *keys: str) -> Any:
    """Return what a file says of ``tts.qwen.<keys>``, or MISSING.

    Raises:
        UnfitFile: See ``settings``.
    """
    value: Any = settings(path, text)
    for key in ("tts", "qwen", *keys):
        if not isinstance(value, dict) or key not in value:
            return MISSING
        value = value[key]
    return value
