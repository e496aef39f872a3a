"""Texts from arguments, files and stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from storycore_tts.domain.errors import InvalidRequest

STDIN = "-"


def text_of(argument: str) -> str:
    """Return the text of an argument; "-" stands for what comes on stdin.

    Raises:
        InvalidRequest: stdin is closed, or is not UTF-8.
    """
    if argument != STDIN:
        return argument
    if sys.stdin is None:
        raise InvalidRequest("The text was to come from stdin, and stdin is closed.")
    return _decoded(sys.stdin.buffer.read(), "The text on stdin")


def text_in(path: Path) -> str:
    """Return the text of a UTF-8 file.

    Raises:
        InvalidRequest: It cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidRequest(f"Cannot read {path}: {reason}.") from error
    return _decoded(data, f"The file {path}")


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{what} is not UTF-8: byte {error.start} is {data[error.start]:#04x}.",
            hint="Convert it first (iconv -t utf-8).",
        ) from None
