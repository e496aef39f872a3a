"""Local files for audio."""

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
_PROBE = bytes(4096)  # written to check that the disk is not full


class AudioFolder:
    """Reserves file names before a generation and writes the audio afterwards.

    Args:
        folder: Folder for files without a given name; None: a new temporary folder, created when
            it is first needed.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)

    def reserve(
        self, wanted: str | os.PathLike[str] | None, *, stem: str, suffix: str = ".wav"
    ) -> Path:
        """Return the absolute path to write to, after a check that it can be written.

        Args:
            wanted: A path, or None for a new name in the folder.
            stem: Prefix of a new name.
            suffix: Suffix of a new name.

        Raises:
            InvalidRequest: The suffix is not supported, or the path cannot be written to.
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
        """Write the audio without blocking the event loop; return the path.

        Args:
            speech: The speech.
            target: Path from ``reserve``.
        """
        return await asyncio.to_thread(speech.save, target)

    def _new_name(self, stem: str, suffix: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="storycore-tts-"))
        return self._folder / f"{stem}-{uuid4().hex[:12]}{suffix}"


def _check_disk(target: Path) -> None:
    """Check that a new file can be written by writing a temporary file to its folder.

    Raises:
        InvalidRequest: The folder cannot be written to.
        StorageFailed: The disk is full.
    """
    try:
        with tempfile.TemporaryFile(dir=target.parent) as file:
            file.write(_PROBE)
    except OSError as error:
        said = f"Cannot write to {target}: {error.strerror or error}."
        if error.errno in _FULL:
            raise StorageFailed(said, hint="Free disk space, or choose another folder.") from None
        raise InvalidRequest(said) from None
