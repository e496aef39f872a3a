"""The voice library: the user's own voices, stored by name on the local disk.

Each voice is a folder with ``voice.json``, and ``reference.wav`` if it is cloned from a recording.
A folder is written under a temporary name and then renamed, so that concurrent processes see either
the complete voice or none.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from storycore_tts.domain.stored_voices import StoredVoice, VoiceKind, name_key
from storycore_tts.errors import (
    InvalidRequest,
    StorageFailed,
    UnknownSpeaker,
    did_you_mean,
    shown,
)
from storycore_tts.services.files import exists, user_data
from storycore_tts.services.voice_files import (
    UNREADABLE,
    folder_name,
    read_document,
    read_voice,
    reason_of,
    write_voice,
)

_UNFINISHED = ".unfinished-"  # folders that are being written or removed
_UNFINISHED_FOR = 86_400.0  # s; older folders belong to processes that were killed


@dataclass(frozen=True)
class VoiceEntry:
    """An entry in the list of stored voices.

    Args:
        name: Name of the voice; the name of its folder if the voice's name cannot be read.
        kind: Kind of voice; None if it is damaged.
        language: Its default language; None: as configured.
        created: Time of creation, in UTC; None if it is damaged.
        problem: Description of the damage; "" if there is none.
    """

    name: str
    kind: VoiceKind | None = None
    language: str | None = None
    created: datetime | None = None
    problem: str = ""


class VoiceLibrary:
    """Voices stored by name in a folder. Methods block while they read and write.

    Several processes may use the same folder at the same time.

    Args:
        folder: Folder of the voices, created when the first one is added. None: ``voices`` in the
            user data folder of this program.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = user_data() / "voices" if folder is None else Path(folder).absolute()

    def add(self, voice: StoredVoice) -> None:
        """Store a voice.

        Args:
            voice: The voice.

        Raises:
            InvalidRequest: A voice with this name exists, possibly a damaged one.
            StorageFailed: The folder cannot be written to; nothing was stored.
        """
        place = self._place(voice.name)
        with self._disk(f"store the voice {voice.name!r}"):
            if exists(place):
                raise _taken(voice.name)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with self._unfinished() as draft:
                draft.mkdir()
                write_voice(voice, draft)
                _move_in(draft, place, voice.name)

    def get(self, name: str) -> StoredVoice:
        """Return a voice by its name, ignoring case.

        Args:
            name: Name of the voice.

        Raises:
            UnknownSpeaker: There is no such voice; the hint lists the stored ones.
            StorageFailed: The voice is damaged or cannot be read.
        """
        voice = self.find(name)
        if voice is None:
            raise self._unknown(name)
        return voice

    def find(self, name: str) -> StoredVoice | None:
        """Return a voice by its name, ignoring case, or None if there is none.

        Args:
            name: Name of the voice.

        Raises:
            StorageFailed: The voice is damaged or cannot be read.
        """
        try:
            place = self._place(name)
        except InvalidRequest:  # not a valid name
            return None
        with self._disk(f"read the voice {name!r}"):
            if not exists(place):
                return None
            try:
                return read_voice(place, read_document(place))
            except (*UNREADABLE, FileNotFoundError) as error:
                if not exists(place):  # removed concurrently
                    return None
                raise _damaged(name, place, error) from error

    def names(self) -> list[str]:
        """Return the sorted names of all voices that are not damaged.

        Raises:
            StorageFailed: The folder cannot be read.
        """
        return [entry.name for entry in self.entries() if not entry.problem]

    def entries(self) -> list[VoiceEntry]:
        """List all voices, sorted by name, including damaged ones.

        Reads every file to detect damage, which takes some milliseconds for each recording.

        Raises:
            StorageFailed: The folder cannot be read.
        """
        with self._disk("list the voices"):
            found = [_entry(place) for place in self._places()]
        return sorted((entry for entry in found if entry), key=lambda entry: name_key(entry.name))

    def remove(self, name: str) -> None:
        """Remove a voice.

        Args:
            name: Name of the voice; for a damaged one, the name in ``entries``.

        Raises:
            UnknownSpeaker: There is no such voice; the hint lists the stored ones.
            StorageFailed: The folder cannot be read or changed.
        """
        with self._disk(f"remove the voice {name!r}"):
            place = self._place_to_remove(name)
            if place is None:
                raise self._unknown(name)
            with self._unfinished() as gone:
                try:
                    place.rename(gone)
                except FileNotFoundError:  # removed concurrently
                    raise self._unknown(name) from None

    def _place(self, name: str) -> Path:
        return self.folder / folder_name(name)

    def _place_to_remove(self, name: str) -> Path | None:
        with suppress(InvalidRequest):
            if exists(place := self._place(name)):
                return place
        nameless = {place.name: place for place in self._places()}
        return nameless.get(name)

    def _places(self) -> list[Path]:
        if not exists(self.folder):
            return []
        return [
            place
            for place in self.folder.iterdir()
            if place.is_dir() and not place.name.startswith(".")
        ]

    def _unknown(self, name: str) -> UnknownSpeaker:
        names = self.names()
        listed = f"Stored voices: {', '.join(names)}." if names else "No voice is stored yet."
        suggestion = did_you_mean(name, names) if isinstance(name, str) else ""
        return UnknownSpeaker(
            f"There is no stored voice {shown(name)}.{suggestion}",
            hint=f"{listed} See storycore-tts voices list and voices add.",
        )

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Yield the path of a new temporary folder, and remove it on exit if it still exists."""
        folder = self.folder / f"{_UNFINISHED}{uuid4().hex}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove temporary folders left by processes that were killed."""
        for folder in self.folder.glob(f"{_UNFINISHED}*"):
            with suppress(FileNotFoundError):  # renamed or removed concurrently
                if time.time() - folder.stat().st_mtime > _UNFINISHED_FOR:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _disk(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else error
            raise StorageFailed(
                f"Cannot {what} in {self.folder}: {reason}.",
                hint="Repair the folder, or set another one in tts.qwen.voices_dir.",
            ) from error


def _move_in(draft: Path, place: Path, name: str) -> None:
    try:
        draft.rename(place)
    except OSError:
        if exists(place):  # added concurrently
            raise _taken(name) from None
        raise


def _entry(place: Path) -> VoiceEntry | None:
    """Read a voice and return its entry, or None if it was removed concurrently."""
    name = place.name
    try:
        document = read_document(place)
        name = document["name"]
        voice = read_voice(place, document)
    except (*UNREADABLE, OSError) as error:
        return VoiceEntry(name, problem=reason_of(error)) if place.exists() else None
    return VoiceEntry(voice.name, voice.kind, voice.language, voice.created)


def _damaged(name: str, place: Path, error: Exception) -> StorageFailed:
    return StorageFailed(
        f"The stored voice {name!r} is damaged: {reason_of(error)}.",
        hint=f"Remove it and add it again, or repair the files in {place}.",
    )


def _taken(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"There is already a stored voice {name!r}.",
        hint="Choose another name, or remove that voice first.",
    )
