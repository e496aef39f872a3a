"""Our lines in other people's files, between a pair of comments.

Python, YAML and requirements share the comment sign, so one pair of marks serves them all. What is
outside the marks stays as it is, byte for byte, and what stood in their place is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from storycore_tts.services.migration.errors import LocalChanges

_OPEN = "# >>> storycore-tts migrate: {} >>>"
_CLOSE = "# <<< storycore-tts migrate: {} <<<"
_ANY_MARK = re.compile(r"^[ \t]*# (?:>>>|<<<) storycore-tts migrate: ([\w-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Put:
    """Lines that are to replace a span of a file's text.

    Args:
        path: The file, relative to the checkout, with slashes.
        start: Offset of the first character that goes: the beginning of a line, or the text's end.
        end: Offset behind the last one; ``start`` where nothing goes.
        lines: What comes, without line endings and without their common indentation.
        indent: Their common indentation, which the marks get too.
        for_users: The lines are settings, and users may change their values.
    """

    path: str
    start: int
    end: int
    lines: Sequence[str]
    indent: str = ""
    for_users: bool = False


@dataclass(frozen=True)
class Region:
    """Lines of ours that are in a file, and what stood in their place.

    Args:
        phase: The phase of the migration that they belong to.
        name: What the marks call them; no two regions share it.
        path: The file, relative to the checkout, with slashes.
        before: What they replaced; empty where they were inserted.
        lead: The line ending that the text before them lacked.
        after: The lines, marks included, as they were written.
        created: The file exists because of them.
        for_users: Their values are the users' to change.
    """

    phase: int
    name: str
    path: str
    before: str
    lead: str
    after: str
    created: bool = False
    for_users: bool = False


def newline_of(text: str) -> str:
    """Return the line ending that most lines of a text have."""
    return "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"


def put_in(text: str | None, put: Put, *, phase: int, name: str) -> tuple[str, Region]:
    """Return the text with lines of ours, and the record of how to take them out.

    Args:
        text: The file's text; None where there is no file yet.
        put: The lines, and where they go.
        phase: The phase that they belong to.
        name: What the marks call them.

    Raises:
        LocalChanges: Marks of that name are there already.
    """
    old = text or ""
    if name in names_in(old):
        raise LocalChanges(
            f"{put.path} has marks of {name}, but not what belongs between them.",
            hint="Remove the marks and what is between them, or restore the file.",
        )
    newline = newline_of(old)
    lines = [_OPEN.format(name), *put.lines, _CLOSE.format(name)]
    after = "".join(f"{put.indent}{line}{newline}" if line else newline for line in lines)
    lead = newline if put.start == len(old) and old and not old.endswith("\n") else ""
    region = Region(
        phase,
        name,
        put.path,
        before=old[put.start : put.end],
        lead=lead,
        after=after,
        created=text is None,
        for_users=put.for_users,
    )
    return f"{old[: put.start]}{lead}{after}{old[put.end :]}", region


def take_out(text: str, region: Region) -> str | None:
    """Return the text as it was without the region; None if the file is to go as well.

    Raises:
        LocalChanges: Somebody changed the lines between the marks, or lost a mark.
    """
    span = _span(text, region.path, region.name)
    if span is None:
        return text
    start, end = span
    found = text[start:end]
    if not region.for_users and _same_ending(found) != _same_ending(region.after):
        raise LocalChanges(
            f"{region.path}, line {line_at(text, start)}: the lines of {region.name} were changed.",
            hint="Take your changes out of the marks, or remove both by hand.",
        )
    newline = newline_of(found)
    before = region.before
    if newline != newline_of(region.after):  # git turned the line endings of the file around
        before = before.replace("\r\n", "\n").replace("\n", newline)
    if before and not before.endswith("\n") and end < len(text):
        before += newline
    if region.lead and end == len(text) and text[:start].endswith(newline):
        start -= len(newline)
    rest = f"{text[:start]}{before}{text[end:]}"
    return None if region.created and not rest else rest


def names_in(text: str) -> set[str]:
    """Return the names of all our marks in a text."""
    return set(_ANY_MARK.findall(text))


def line_at(text: str, offset: int) -> int:
    """Return the number of the line that an offset lies in; the first is 1."""
    return text.count("\n", 0, offset) + 1


def _span(text: str, path: str, name: str) -> tuple[int, int] | None:
    """Return where a region lies, marks and the last line ending included."""
    opens, closes = (
        [*re.finditer(rf"^[ \t]*{re.escape(mark.format(name))}[ \t]*\r?(?:\n|\Z)", text, re.M)]
        for mark in (_OPEN, _CLOSE)
    )
    if not opens and not closes:
        return None
    if len(opens) != 1 or len(closes) != 1 or opens[0].start() > closes[0].start():
        raise LocalChanges(
            f"{path}: the marks of {name} are no longer one pair.",
            hint="Remove what is left of them, or restore the file.",
        )
    return opens[0].start(), closes[0].end()


def _same_ending(text: str) -> str:
    return text.replace("\r\n", "\n").rstrip("\n")
