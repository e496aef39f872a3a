"""Texts from arguments, files and stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.entrypoints.cli import console

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


def agreed(question: str) -> bool:
    """Ask on stderr, and tell whether the next line on stdin says yes.

    Raises:
        InvalidRequest: Nobody answers.
    """
    console.tell(f"{question} [y/N]")
    answer = "" if sys.stdin is None else sys.stdin.readline()
    if not answer:
        raise InvalidRequest("Nobody answers on stdin.", hint="Use --yes where nobody can.")
    return answer.strip().casefold() in ("y", "yes")


def transcript(text: str | None, file: Path | None) -> str | None:
    """Return the words of a recording, from one of the two options.

    Raises:
        InvalidRequest: Both were given, or the file cannot be read.
    """
    if text is not None and file is not None:
        raise InvalidRequest("Give --ref-text or --ref-text-file, not both.")
    return text_in(file) if file is not None else text


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{what} is not UTF-8: byte {error.start} is {data[error.start]:#04x}.",
            hint="Convert it first (iconv -t utf-8).",
        ) from None
