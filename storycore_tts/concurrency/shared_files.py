"""Files that several processes use: locks, and replacements that are never half-written."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


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


def replace_file(file: Path, data: bytes, *, private: bool = False) -> None:
    """Replace a file atomically.

    Args:
        file: The file.
        data: Its new contents.
        private: Whether only its owner can read it, and it is on the disk before this returns.

    Raises:
        OSError: The file cannot be written.
    """
    draft = file.with_name(f".{file.name}-{uuid4().hex}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(draft, flags, 0o600 if private else 0o666)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
            if private:
                opened.flush()
                os.fsync(handle)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
