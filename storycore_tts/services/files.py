"""Helpers for local files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from storycore_tts.concurrency.shared_files import replace_file
from storycore_tts.errors import ConfigurationError


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
    """Return the default folder for data of this program.

    Raises:
        ConfigurationError: The user has no home folder, such as an unknown user in a container.
    """
    import platformdirs

    folder = Path()
    with suppress(RuntimeError):  # older versions return a relative path
        folder = platformdirs.user_data_path("storycore-tts", appauthor=False)
    if not folder.is_absolute():
        raise ConfigurationError(
            "This user has no home folder, and thus no folder for data.",
            hint="Set HOME or XDG_DATA_HOME to a folder that can be written to.",
        )
    return folder


def ledger_file(path: str | None) -> Path:
    """Return the file of the ledger.

    Args:
        path: As configured; None: in the default folder.
    """
    return user_data() / "ledger.jsonl" if path is None else Path(path).absolute()


def replace_text(file: Path, text: str) -> None:
    """Replace a file atomically.

    Args:
        file: The file.
        text: Its new contents, written as UTF-8.

    Raises:
        OSError: The file cannot be written.
    """
    replace_file(file, text.encode("utf-8"))
