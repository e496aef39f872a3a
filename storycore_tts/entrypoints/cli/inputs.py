"""Input from arguments, files and stdin."""

from __future__ import annotations

import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storycore_tts.entrypoints.cli import console
from storycore_tts.errors import InvalidRequest

STDIN = "-"


def text_of(argument: str) -> str:
    """Return the text of an argument; "-" reads stdin.

    Args:
        argument: The argument.

    Raises:
        InvalidRequest: stdin is closed, or is not UTF-8.
    """
    if argument != STDIN:
        return argument
    if sys.stdin is None:
        raise InvalidRequest("Cannot read the text from stdin, which is closed.")
    return _decoded(sys.stdin.buffer.read(), "The text on stdin")


def text_to_say(argument: str | None, file: str | None) -> str:
    """Return the text from an argument or a file; "-" reads stdin in both cases.

    Args:
        argument: Text from the argument, or None.
        file: Path of a text file, or None.

    Raises:
        InvalidRequest: Both or neither are given, or the file cannot be read.
    """
    if (argument is None) == (file is None):
        raise InvalidRequest(
            "Use either TEXT or --text-file, not both." if file else "There is no text to speak.",
            hint=None if file else "Pass TEXT, --text-file FILE, or - for stdin.",
        )
    if argument is not None:
        return text_of(argument)
    assert file is not None
    return text_of(file) if file == STDIN else text_in(Path(file))


def text_in(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark.

    Args:
        path: Path of the file.

    Raises:
        InvalidRequest: The file cannot be read, or has another encoding.
    """
    return _decoded(bytes_in(path), f"The file {path}")


def bytes_in(path: Path) -> bytes:
    """Return the contents of a file.

    Args:
        path: Path of the file.

    Raises:
        InvalidRequest: The file cannot be read.
    """
    with readable(path):
        return path.read_bytes()


@contextmanager
def readable(path: str | Path) -> Iterator[None]:
    """Report that a file cannot be read as ``InvalidRequest``.

    Args:
        path: Path of the file, for the message.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidRequest(f"Cannot read {path}: {reason}.") from error


def agreed(question: str) -> bool:
    """Ask a question on stderr; return whether the answer on stdin is yes.

    Args:
        question: The question.

    Raises:
        InvalidRequest: stdin is closed or at its end.
    """
    console.tell(f"{question} [y/N]")
    answer = "" if sys.stdin is None else sys.stdin.readline()
    if not answer:
        raise InvalidRequest("No answer on stdin.", hint="Use --yes to confirm in advance.")
    return answer.strip().casefold() in ("y", "yes")


def transcript(text: str | None, file: Path | None) -> str | None:
    """Return the transcript of a recording, from one of two options.

    Args:
        text: The transcript, or None.
        file: A file with the transcript, or None.

    Raises:
        InvalidRequest: Both are given, or the file cannot be read.
    """
    if text is not None and file is not None:
        raise InvalidRequest("Use either --ref-text or --ref-text-file, not both.")
    return text_in(file) if file is not None else text


def _decoded(data: bytes, what: str) -> str:
    # Windows often writes UTF-16 with a byte order mark.
    encoding = "UTF-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "UTF-8"
    try:
        return data.decode(encoding.replace("UTF-8", "utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"{what} is not {encoding}: byte {error.start} is {data[error.start]:#04x}.",
            hint="Convert it to UTF-8, for example with iconv -t utf-8.",
        ) from None
