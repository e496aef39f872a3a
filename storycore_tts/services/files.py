"""What is on this machine's disk."""

from __future__ import annotations

from pathlib import Path


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
