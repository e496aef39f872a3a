"""Single files of a checkout."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from storycore_tts.services.migration.errors import UnfitFile

BYTEWISE = "latin-1"
"""A text has one character for each byte, whatever the file's own encoding is."""

Rename = Callable[[Path, Path], object]


def read(root: Path, path: str) -> str | None:
    """Return the text of a file of the checkout, or None if there is none.

    Raises:
        UnfitFile: A link, or not a file.
        OSError: It cannot be read.
    """
    file = _place(root, path)
    if not os.path.lexists(file):
        return None
    if not stat.S_ISREG(file.stat().st_mode):
        raise UnfitFile(f"{path} is not a file.")
    return file.read_bytes().decode(BYTEWISE)


def write_whole(root: Path, path: str, text: str | None, rename: Rename) -> None:
    """Put a new text in the place of a file: all of it or none; None removes it.

    Raises:
        OSError: The disk refuses.
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
    """Remove what a kill may have left beside a file."""
    _draft(_place(root, path)).unlink(missing_ok=True)


def _draft(file: Path) -> Path:
    return file.with_name(f".{file.name}.storycore-tts-new")


def _place(root: Path, path: str) -> Path:
    """Return where a file of the checkout is, and refuse to follow links out of it."""
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
