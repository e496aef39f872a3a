"""Reads and writes single files of a checkout."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from storycore_tts.services.migration.errors import UnfitFile

BYTEWISE = "latin-1"
"""Encoding with one character per byte, which preserves files of any encoding."""

Rename = Callable[[Path, Path], object]


def read(root: Path, path: str) -> str | None:
    """Return the text of a file of the checkout, or None if it does not exist.

    Raises:
        UnfitFile: It is a link, or not a regular file.
        OSError: It cannot be read.
    """
    file = _place(root, path)
    if not os.path.lexists(file):
        return None
    if not stat.S_ISREG(file.stat().st_mode):
        raise UnfitFile(f"{path} is not a file.")
    return file.read_bytes().decode(BYTEWISE)


def write_whole(root: Path, path: str, text: str | None, rename: Rename) -> None:
    """Replace a file atomically; None removes it.

    Raises:
        OSError: The file cannot be written or removed.
    """
    file = _place(root, path)
    if text is None:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(file)
    with draft.open("wb") as stream:
        stream.write(text.encode(BYTEWISE))
        stream.flush()
        os.fsync(stream.fileno())
    if file.exists():
        shutil.copymode(file, draft)
    rename(draft, file)


def clear_draft(root: Path, path: str) -> None:
    """Remove the temporary file of an interrupted write."""
    _draft(_place(root, path)).unlink(missing_ok=True)


def _draft(file: Path) -> Path:
    return file.with_name(f".{file.name}.storycore-tts-new")


def _place(root: Path, path: str) -> Path:
    """Return the path of a file of the checkout; links are rejected, as they may lead outside."""
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute() or ":" in path:
        raise UnfitFile(f"{path} is not a path inside the checkout.")
    at = root
    for part in parts:
        at /= part
        if at.is_symlink():
            raise UnfitFile(
                f"{at.relative_to(root).as_posix()} is a link; its target is not changed.",
                hint="Replace it with a file or a folder.",
            )
    return at
