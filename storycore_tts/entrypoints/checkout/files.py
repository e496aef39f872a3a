"""Single files of a checkout: bytes that become text and the same bytes again."""

from __future__ import annotations

import codecs
import io
import os
import stat
import tokenize
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from storycore_tts.services.migration import NotWritable, UnfitFile

_UTF8 = "utf-8"


@dataclass(frozen=True)
class SourceFile:
    """A file as it was read.

    Args:
        data: Its bytes.
        text: What they say, line endings as they are.
        encoding: How they say it; a byte order mark is part of it.
    """

    data: bytes
    text: str
    encoding: str


def place(root: Path, path: str) -> Path:
    """Return where a file of the checkout is, and refuse to follow links out of it.

    Raises:
        UnfitFile: It, or a folder on the way to it, is a link; or the path leads elsewhere.
    """
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute() or ":" in path:
        raise UnfitFile(f"{path} is not a path inside the checkout.")
    at = root
    for part in parts:
        at /= part
        if at.is_symlink():
            raise UnfitFile(
                f"{at.relative_to(root).as_posix()} is a link: what it leads to is not touched.",
                hint="Put a file or a folder in its place.",
            )
    return at


def read(root: Path, path: str) -> SourceFile | None:
    """Return a file of the checkout, or None if there is none.

    Raises:
        UnfitFile: A link, not a file, or text that would not come back as the same bytes.
        OSError: It cannot be read.
    """
    file = place(root, path)
    if not os.path.lexists(file):
        return None
    if not stat.S_ISREG(file.stat().st_mode):
        raise UnfitFile(f"{path} is not a file.")
    data = file.read_bytes()
    encoding = _encoding(path, data)
    try:
        text = data.decode(encoding)
    except (UnicodeError, LookupError) as error:
        raise UnfitFile(f"{path} is not {encoding}: {error}.") from None
    if text.encode(encoding) != data or "\r" in text.replace("\r\n", ""):
        raise UnfitFile(f"{path} has line endings or characters that an edit could damage.")
    return SourceFile(data, text, encoding)


def encoded(path: str, text: str, encoding: str = _UTF8) -> bytes:
    """Return a text as the bytes of a file.

    Raises:
        UnfitFile: The encoding lacks a character.
    """
    try:
        return text.encode(encoding)
    except UnicodeError as error:
        raise UnfitFile(f"{path}: {encoding} lacks a character: {error}.") from None


def check_writable(root: Path, path: str) -> None:
    """Refuse a file that may not be replaced, or a folder that takes no new one.

    Raises:
        NotWritable: The file or the folder is read-only.
    """
    file = place(root, path)
    if file.exists() and not (file.stat().st_mode & 0o222 and os.access(file, os.W_OK)):
        raise NotWritable(f"{path} is read-only.", hint="Make it writable, and run this again.")
    folder = file.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise NotWritable(f"The folder {folder} is read-only.")


def digest(data: bytes | None) -> str | None:
    """Return what tells two contents apart; None for no file."""
    return None if data is None else sha256(data).hexdigest()


def write_durably(file: Path, data: bytes) -> None:
    """Write a file that is to survive a loss of power from here on."""
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _encoding(path: str, data: bytes) -> str:
    if not path.endswith(".py"):
        return "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else _UTF8
    try:
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except SyntaxError as error:
        raise UnfitFile(f"{path} has no encoding that is known: {error}.") from None
