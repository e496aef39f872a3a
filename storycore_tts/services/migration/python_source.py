"""Places in Python files: found with ``ast``, named by offsets into the text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storycore_tts.services.migration.errors import AnchorNotFound, UnfitFile

_COOKIE = re.compile(r"[ \t\f]*#.*?coding[:=]")


@dataclass(frozen=True)
class Place:
    """Where lines can be inserted: behind which offset, in which line, how far indented."""

    offset: int
    line: int
    indent: str


def parsed(path: str, text: str) -> ast.Module:
    """Return the syntax tree of a file.

    Raises:
        UnfitFile: This Python does not understand it.
    """
    try:
        return ast.parse(text, path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnfitFile(f"{path} is not Python that can be read: {error}.") from None


def check_result(path: str, text: str) -> None:
    """Refuse an edit that would break a file: the statement before it goes on, for instance.

    Raises:
        AnchorNotFound: The file would not compile.
    """
    try:
        ast.parse(text, path)
    except SyntaxError as error:
        raise AnchorNotFound(
            f"{path}, line {error.lineno}: no line can be added here: {error.msg}."
        ) from None


def import_line(tree: ast.Module, module: str, name: str | None = None) -> int | None:
    """Return the line that imports a name from a module or one inside it, anywhere in a file."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom | ast.Import):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            wanted = _within(node.module or "", module) and (name is None or name in names)
        else:
            wanted = name is None and any(_within(imported, module) for imported in names)
        if wanted:
            return node.lineno
    return None


def behind_attribute(path: str, text: str, *, owner: str, attribute: str, needs: str) -> Place:
    """Return the place behind ``self.attribute = …`` in a class's ``__init__``.

    Args:
        path: The file, for messages.
        text: Its text.
        owner: Name of the class.
        attribute: The attribute that is assigned there.
        needs: Another one, that must have been assigned before.

    Raises:
        AnchorNotFound: The class, the method or one of the assignments is not there.
    """
    body = _init_of(parsed(path, text), owner)
    found = [s for s in body if attribute in _self_attributes(s)]
    ready = found and any(needs in _self_attributes(s) for s in body if s.lineno < found[-1].lineno)
    if not ready:
        raise AnchorNotFound(
            f"{path} has no {owner}.__init__ that sets self.{needs} and then self.{attribute}.",
            hint="Put the hook in by hand; documentation/MIGRATION.md shows it.",
        )
    return _behind(path, text, body, found[-1])


def before_include(path: str, text: str, router: str) -> tuple[str, Place]:
    """Return what includes a router, and the place before it does.

    Raises:
        AnchorNotFound: Nothing includes it.
    """
    for node in ast.walk(parsed(path, text)):
        app = _app_that_includes(node, router) if isinstance(node, ast.Expr) else None
        if app is not None and isinstance(node, ast.Expr):
            indent = _indent(path, text, node)
            return app, Place(line_start(text, node.lineno), node.lineno, indent)
    raise AnchorNotFound(
        f"{path} includes no {router}.",
        hint="Include ours by hand, before it; documentation/MIGRATION.md shows how.",
    )


def public_names(tree: ast.Module) -> set[str]:
    """Return the classes, functions and constants that a module defines for others."""
    defined = {
        s.name
        for s in tree.body
        if isinstance(s, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    constants = {name for s in tree.body for name in _names(s) if name.isupper()}
    listed = {name for s in tree.body if "__all__" in _names(s) for name in _strings(s)}
    return {name for name in defined | constants | listed if not name.startswith("_")}


def behind_preamble(text: str) -> int:
    """Return the offset behind the lines that say how to run and to decode a file."""
    second, third = line_start(text, 2), line_start(text, 3)
    if _COOKIE.match(text, second, third) and text[:second].lstrip().startswith("#"):
        return third
    return second if text.startswith("#!") or _COOKIE.match(text, 0, second) else 0


def line_start(text: str, line: int) -> int:
    """Return the offset at which a line begins; the first is line 1."""
    offset = 0
    for _ in range(line - 1):
        offset = text.find("\n", offset) + 1
        if offset == 0:
            return len(text)
    return offset


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _init_of(tree: ast.Module, owner: str) -> list[ast.stmt]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    return method.body
    return []


def _targets(statement: ast.stmt) -> Sequence[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return [statement.target]
    return []


def _self_attributes(statement: ast.stmt) -> set[str]:
    return {
        target.attr
        for target in _targets(statement)
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    }


def _names(statement: ast.stmt) -> set[str]:
    return {target.id for target in _targets(statement) if isinstance(target, ast.Name)}


def _strings(statement: ast.stmt) -> Iterator[str]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _behind(path: str, text: str, body: Sequence[ast.stmt], found: ast.stmt) -> Place:
    """Return the place behind a statement, and behind all that shares its last line."""
    indent = _indent(path, text, found)
    last = found.end_lineno or found.lineno
    for statement in body:
        if found.lineno <= statement.lineno <= last:
            last = max(last, statement.end_lineno or last)
    return Place(line_start(text, last + 1), found.lineno, indent)


def _indent(path: str, text: str, statement: ast.stmt) -> str:
    """Return what a statement's line begins with."""
    start = line_start(text, statement.lineno)
    head = text[start:].split("\n", 1)[0].encode()[: statement.col_offset].decode()
    if head.strip():
        raise AnchorNotFound(
            f"{path}, line {statement.lineno}: the statement is not on its own line."
        )
    return head


def _app_that_includes(statement: ast.Expr, router: str) -> str | None:
    call = statement.value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
        return None
    owner, names = call.func.value, [a.id for a in call.args if isinstance(a, ast.Name)]
    includes = call.func.attr == "include_router" and router in names
    return owner.id if includes and isinstance(owner, ast.Name) else None
