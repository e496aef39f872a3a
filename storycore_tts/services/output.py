"""Where audio goes on this machine."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from pathlib import Path
from uuid import uuid4

from storycore_tts.domain.errors import InvalidRequest, StorageFailed
from storycore_tts.domain.speech import Speech
from storycore_tts.services.files import exists
from storycore_tts.sound.files import check_suffix

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROBE = bytes(4096)  # what is written to learn whether a disk takes anything


class AudioFolder:
    """Hands out file names before a generation and writes the audio after it.

    Args:
        folder: Where files without a name of their own go; None for a fresh temporary folder,
            made when it is first needed.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)

    def reserve(
        self, wanted: str | os.PathLike[str] | None, *, stem: str, suffix: str = ".wav"
    ) -> Path:
        """Return the absolute path to write to, and make sure that it can be written.

        Args:
            wanted: The caller's own path, or None for a new name in the folder.
            stem: How such a new name begins.
            suffix: How it ends.

        Raises:
            InvalidRequest: An unknown suffix, or a place that cannot be written to.
            StorageFailed: The disk is full.
        """
        target = Path(wanted) if wanted is not None else self._new_name(stem, suffix)
        check_suffix(target)
        target = target.absolute()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            writable = os.access(target if exists(target) else target.parent, os.W_OK)
        except (OSError, ValueError) as error:  # ValueError: a NUL or a surrogate in the path
            raise InvalidRequest(f"Cannot write to {target}: {error}.") from None
        if not writable or target.is_dir():
            raise InvalidRequest(f"Cannot write to {target}: no permission, or it is a folder.")
        if not exists(target):
            _check_disk(target)
        return target

    async def write(self, speech: Speech, target: Path) -> Path:
        """Write the audio without blocking the event loop; the path comes back."""
        return await asyncio.to_thread(speech.save, target)

    def _new_name(self, stem: str, suffix: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="storycore-tts-"))
        return self._folder / f"{stem}-{uuid4().hex[:12]}{suffix}"


def _check_disk(target: Path) -> None:
    """Write something without a name beside a file that is to be made.

    Raises:
        InvalidRequest: That is refused.
        StorageFailed: The disk is full.
    """
    try:
        with tempfile.TemporaryFile(dir=target.parent) as file:
            file.write(_PROBE)
    except OSError as error:
        said = f"Cannot write to {target}: {error.strerror or error}."
        if error.errno in _FULL:
            raise StorageFailed(said, hint="Make room on that disk, or choose another.") from None
        raise InvalidRequest(said) from None
