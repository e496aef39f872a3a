"""Restricts folders in requests to configured root folders."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from storycore_tts.domain.text import one_line
from storycore_tts.errors import InvalidRequest, shown
from storycore_tts.services.files import is_folder


async def folder_within(name: str, roots: Sequence[str], *, what: str) -> str:
    """Return the path of a folder given in a request, as the backend sees it.

    For roots on this machine, symbolic links are resolved and the folder must exist. Other roots
    are on another machine and cannot be inspected; there, only the name is checked.

    Args:
        name: Path relative to a root, such as "my_hero/epoch_9", or absolute path.
        roots: The configured folders.
        what: Kind of the folder, for error messages.

    Raises:
        InvalidRequest: The folder is not below a root, or does not exist.
    """
    clean = one_line(what, name)
    found = await asyncio.to_thread(_found, clean, roots)
    if found is not None:
        return found
    raise InvalidRequest(
        f"The {what} {shown(clean)} was not found.",
        hint=f"Use a folder below the {what} folders configured by the service's operator."
        if roots
        else f"The service's operator has not configured any {what} folders.",
    )


def _found(name: str, roots: Sequence[str]) -> str | None:
    near = {root for root in roots if is_folder(root)}
    for root in sorted(roots, key=lambda root: root not in near):
        place = _below(Path(root), name) if root in near else _named_below(root, name)
        if place is not None:
            return place
    return None


def _below(base: Path, name: str) -> str | None:
    try:
        place = (base / name).resolve()
        inside = place.is_relative_to(base.resolve()) and place != base.resolve()
        return str(place) if inside and place.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, circular links
        return None


def _named_below(root: str, name: str) -> str | None:
    """Check the name only, strictly, since the other machine may run any operating system."""
    inner = name.removeprefix(root.rstrip("/\\") + "/") if name.startswith(root) else name
    parts = inner.replace("\\", "/").split("/")
    if any(part in ("", ".", "..", "~") or ":" in part for part in parts):
        return None
    windows = "\\" in root or PureWindowsPath(root).drive
    pure = PureWindowsPath if windows else PurePosixPath
    return str(pure(root, *parts))
