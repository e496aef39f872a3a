"""Locks between processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
