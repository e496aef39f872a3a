"""Folders that a request may name: only those below configured ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from storycore_tts.domain.errors import InvalidRequest, shown
from storycore_tts.domain.text import one_line
from storycore_tts.services.files import is_folder


async def folder_within(name: str, roots: Sequence[str], *, what: str) -> str:
    """Return the path of a folder that a request names, as the backend sees it.

    A root that is on this machine is looked at, and symbolic links count for where they lead. One
    that is not is another machine's, which nobody here can look at: there the name alone decides.

    Args:
        name: Relative to a root, such as "my_hero/epoch_9"; or the whole path.
        roots: The configured folders.
        what: What it shall be, for messages.

    Raises:
        InvalidRequest: It does not lie below a root, or is not there.
    """
    clean = one_line(what, name)
    found = await asyncio.to_thread(_found, clean, roots)
    if found is not None:
        return found
    raise InvalidRequest(
        f"There is no {what} {shown(clean)} here.",
        hint=f"Name a folder below those that the service's operator has set for a {what}."
        if roots
        else f"The service's operator has set no folder for a {what}.",
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
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        return None


def _named_below(root: str, name: str) -> str | None:
    """Judge by the name alone; strict, as the other machine may be of any system."""
    inner = name.removeprefix(root.rstrip("/\\") + "/") if name.startswith(root) else name
    parts = inner.replace("\\", "/").split("/")
    if any(part in ("", ".", "..", "~") or ":" in part for part in parts):
        return None
    windows = "\\" in root or PureWindowsPath(root).drive
    pure = PureWindowsPath if windows else PurePosixPath
    return str(pure(root, *parts))
