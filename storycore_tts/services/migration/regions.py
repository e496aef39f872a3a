"""Our lines in the engine's files, between a pair of marks.

The marks are comments, in a syntax common to Python, YAML and requirements files. They record how
to remove the lines: a new file is deleted, and a replaced one is restored from git by the blob id
in the mark. Everything else is preserved byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from storycore_tts.services.migration.errors import LocalChanges

_OPEN = "# >>> storycore-tts migrate: {}{} >>>"
_CLOSE = "# <<< storycore-tts migrate: {} <<<"
_NEW = ", a new file"
_REPLACES = ", in place of "
_ANY_OPEN = re.compile(
    rf"^[ \t]*{_OPEN.format('(phase-([0-9])[a-z0-9-]*)', f'(?:({_NEW})|{_REPLACES}([0-9a-f]+))?')}"
    r"[ \t]*\r?\n",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Put:
    """Lines to insert into a file.

    Args:
        path: Path of the file, relative to the checkout, with slashes.
        lines: The lines, without line endings and common indentation.
        start: Offset of the line to insert before; None: the end of the file.
        indent: Common indentation of the lines and the marks.
        replaces: Git blob id of the file if the lines replace it entirely; None if not.
    """

    path: str
    lines: Sequence[str]
    start: int | None = None
    indent: str = ""
    replaces: str | None = None


@dataclass(frozen=True)
class Region:
    """Our lines in a text.

    Args:
        name: Name in the marks.
        phase: Phase of the migration.
        span: Offsets of the opening mark's line, of the lines, of the closing mark's line, and of
            its end.
        created: Whether the lines created the file.
        replaces: Git blob id of the replaced content; None if nothing was replaced.
    """

    name: str
    phase: int
    span: tuple[int, int, int, int]
    created: bool
    replaces: str | None


def put_in(text: str | None, put: Put, name: str) -> str:
    """Insert our lines into a text.

    Args:
        text: Text of the file; None if it does not exist.
        put: The lines and their position.
        name: Name for the marks: "phase-1-…".

    Raises:
        LocalChanges: The text already has marks with this name.
    """
    old = text or ""
    if name in (region.name for region in regions_in(put.path, old)):
        raise LocalChanges(
            f"{put.path} has marks of {name}, but not what belongs between them.",
            hint="Remove the marks and what is between them, or restore the file with git.",
        )
    newline = "\r\n" if 2 * old.count("\r\n") > old.count("\n") else "\n"
    told = f"{_REPLACES}{put.replaces}" if put.replaces else _NEW if text is None else ""
    lines = [_OPEN.format(name, told), *put.lines, _CLOSE.format(name)]
    ours = "".join(f"{put.indent}{line}{newline}" if line else newline for line in lines)
    if put.replaces:
        return ours
    if put.start is not None:
        return f"{old[: put.start]}{ours}{old[put.start :]}"
    if not old or old.endswith("\n"):
        return f"{old}{ours}"
    # No final line ending, as before; ``take_out`` relies on it.
    return f"{old}{newline}{ours.removesuffix(newline)}"


def take_out(text: str, region: Region, replaced: str = "") -> str | None:
    """Return the text without a region, or None if the file should be deleted.

    Args:
        text: Text of the file.
        region: One of its regions.
        replaced: The text that the region replaced.
    """
    head, tail = text[: region.span[0]], text[region.span[3] :]
    if not region.replaces and not tail and not text.endswith("\n"):
        head = head.removesuffix("\n").removesuffix("\r")
    rest = f"{head}{replaced}{tail}"
    return None if region.created and not rest else rest


def regions_in(path: str, text: str) -> list[Region]:
    """Return our regions in a text, in order.

    Raises:
        LocalChanges: The text has unpaired marks.
    """
    found: list[Region] = []
    for mark in _ANY_OPEN.finditer(text):
        name, phase, created, replaces = mark.groups()
        close = re.compile(rf"^[ \t]*{_CLOSE.format(name)}[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
        ends = [*close.finditer(text)]
        if len(ends) != 1 or ends[0].start() < mark.end() or name in (one.name for one in found):
            raise LocalChanges(
                f"{path}: the marks of {name} are not a pair.",
                hint="Remove the remaining mark, or restore the file with git.",
            )
        span = (mark.start(), mark.end(), ends[0].start(), ends[0].end())
        found.append(Region(name, int(phase), span, bool(created), replaces))
    return found


def line_at(text: str, offset: int) -> int:
    """Return the line number of an offset, from 1."""
    return text.count("\n", 0, offset) + 1
