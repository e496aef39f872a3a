"""What is on this machine's disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def exists(path: Path) -> bool:
    """Say whether something is there.

    ``Path.exists`` also says no where it may not look, and to a name that can never be one.

    Raises:
        OSError: Nobody can tell.
        ValueError: There is a NUL or a surrogate in the path.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def is_folder(path: str) -> bool:
    """Say whether a folder is there; one that we may not look at is another machine's, if any."""
    try:
        return bool(path) and Path(path).is_dir()
    except OSError:
        return False


def user_data() -> Path:
    """Return this program's folder in the user's data, where nothing else is configured."""
    import platformdirs

    return platformdirs.user_data_path("storycore-tts", appauthor=False)


def replace_text(file: Path, text: str) -> None:
    """Write a file beside its place and move it there: it is never seen half written.

    Raises:
        OSError: The disk's own refusal.
    """
    draft = file.with_name(f".{file.name}-{uuid4().hex}")
    try:
        draft.write_bytes(text.encode("utf-8"))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def locked(file: Path, *, seconds: float = 30.0) -> Iterator[None]:
    """Keep other processes of this machine out; the lock ends with the process that holds it.

    Args:
        file: An empty file of its own, which is made and stays. SQLite locks it, on every system.
        seconds: How long to wait for whoever holds it.

    Raises:
        OSError: The disk refuses, or somebody held it all the time.
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
