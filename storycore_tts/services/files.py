"""Helpers for local files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def exists(path: Path) -> bool:
    """Return whether a path exists.

    ``Path.exists`` also returns False on permission errors and for invalid names.

    Raises:
        OSError: The path cannot be checked.
        ValueError: The path contains a NUL or a surrogate.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def is_folder(path: str) -> bool:
    """Return whether a folder exists; False if that cannot be checked."""
    try:
        return bool(path) and Path(path).is_dir()
    except OSError:
        return False


def user_data() -> Path:
    """Return the default folder for data of this program."""
    import platformdirs

    return platformdirs.user_data_path("storycore-tts", appauthor=False)


def replace_text(file: Path, text: str) -> None:
    """Replace a file atomically.

    Args:
        file: The file.
        text: Its new contents, written as UTF-8.

    Raises:
        OSError: The file cannot be written.
    """
    draft = file.with_name(f".{file.name}-{uuid4().hex}")
    try:
        draft.write_bytes(text.encode("utf-8"))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def locked(file: Path, *, seconds: float = 30.0) -> Iterator[None]:
    """Hold a lock against other processes; it is released if the process dies.

    Args:
        file: The lock file, which is created and kept. It is locked by SQLite, on every system.
        seconds: Maximum time to wait for the lock, in seconds.

    Raises:
        OSError: The file cannot be accessed, or the lock was not released in time.
    """
    try:
        connection = sqlite3.connect(file, timeout=seconds, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise OSError(None, str(error), str(file)) from error
    try:
        yield
    finally:
        connection.close()
