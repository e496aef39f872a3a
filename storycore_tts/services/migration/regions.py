"""Our lines in other people's files, between a pair of comments.

Python, YAML and requirements share the comment sign, so one pair of marks serves them all. The
marks say how to take the lines out again: a file that is new goes, and one that was replaced comes
back from git, where the id between the marks names it. The rest stays as it is, byte for byte.
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
    """Lines that are to come into a file.

    Args:
        path: The file, relative to the checkout, with slashes.
        lines: What comes, without line endings and without their common indentation.
        start: Offset of the line that they go before; None for the end.
        indent: Their common indentation, which the marks get too.
        replaces: Id of the file's content in git, where all of it goes; None where all stays.
    """

    path: str
    lines: Sequence[str]
    start: int | None = None
    indent: str = ""
    replaces: str | None = None


@dataclass(frozen=True)
class Region:
    """Lines of ours in a text.

    Args:
        name: What the marks call them.
        phase: The phase of the migration that they belong to.
        span: Offsets of the first mark's line, of what is between, of the second mark's line, and
            behind that.
        created: The file exists because of them.
        replaces: Id of the content that they replaced, in git; None where they replaced nothing.
    """

    name: str
    phase: int
    span: tuple[int, int, int, int]
    created: bool
    replaces: str | None


def put_in(text: str | None, put: Put, name: str) -> str:
    """Return the text with lines of ours.

    Args:
        text: The file's text; None where there is no file yet.
        put: The lines, and where they go.
        name: What the marks call them: "phase-1-…".

    Raises:
        LocalChanges: Marks of that name are there already.
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
    # No last line ending, as before: that is how ``take_out`` knows.
    return f"{old}{newline}{ours.removesuffix(newline)}"


def take_out(text: str, region: Region, replaced: str = "") -> str | None:
    """Return the text as it was without a region; None if the file is to go as well.

    Args:
        text: The file's text.
        region: One of its regions.
        replaced: What the region replaced.
    """
    head, tail = text[: region.span[0]], text[region.span[3] :]
    if not region.replaces and not tail and not text.endswith("\n"):
        head = head.removesuffix("\n").removesuffix("\r")
    rest = f"{head}{replaced}{tail}"
    return None if region.created and not rest else rest


def regions_in(path: str, text: str) -> list[Region]:
    """Return our regions in a text, in the order in which they begin.

    Raises:
        LocalChanges: Marks are no longer one pair.
    """
    found: list[Region] = []
    for mark in _ANY_OPEN.finditer(text):
        name, phase, created, replaces = mark.groups()
        close = re.compile(rf"^[ \t]*{_CLOSE.format(name)}[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
        ends = [*close.finditer(text)]
        if len(ends) != 1 or ends[0].start() < mark.end() or name in (one.name for one in found):
            raise LocalChanges(
                f"{path}: the marks of {name} are no longer one pair.",
                hint="Remove what is left of them, or restore the file with git.",
            )
        span = (mark.start(), mark.end(), ends[0].start(), ends[0].end())
        found.append(Region(name, int(phase), span, bool(created), replaces))
    return found


def line_at(text: str, offset: int) -> int:
    """Return the number of the line that an offset lies in; the first is 1."""
    return text.count("\n", 0, offset) + 1
