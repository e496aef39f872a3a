"""The voice library: voices of one's own on this machine's disk, found by name.

Each voice is a folder: ``voice.json``, and ``reference.wav`` if it is cloned from a recording. A
folder is written beside its place and renamed into it, so that a voice is there as a whole or not
at all, whoever else writes at the same time.
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
_UNFINISHED_FOR = 86_400.0  # s; nobody writes so long: whoever began it was killed


@dataclass(frozen=True)
class VoiceEntry:
    """A line of the library's list.

    Args:
        name: The voice's name; that of its folder if the entry is damaged beyond that.
        kind: What it is made of; None if it is damaged.
        language: What it speaks unless a line says otherwise; None: as configured.
        created: When it was made, in UTC; None if it is damaged.
        problem: What is wrong with it; "" if nothing is.
    """

    name: str
    kind: VoiceKind | None = None
    language: str | None = None
    created: datetime | None = None
    problem: str = ""


class VoiceLibrary:
    """Voices in a folder, by name. Its methods block while they read and write.

    Any number of processes may use one folder at once.

    Args:
        folder: Where the voices are; made when the first one is added. None: ``voices`` in this
            program's folder of user data.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = user_data() / "voices" if folder is None else Path(folder).absolute()

    def add(self, voice: StoredVoice) -> None:
        """Store a voice.

        Raises:
            InvalidRequest: There is a voice of that name, damaged ones included.
            StorageFailed: The disk refuses; nothing was stored.
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
        """Return a voice by its name, in any case.

        Raises:
            UnknownSpeaker: There is no such voice; the message lists those there are.
            StorageFailed: It is damaged, or the disk refuses.
        """
        voice = self.find(name)
        if voice is None:
            raise self._unknown(name)
        return voice

    def find(self, name: str) -> StoredVoice | None:
        """Return a voice by its name, in any case, or None.

        Raises:
            StorageFailed: It is damaged, or the disk refuses.
        """
        try:
            place = self._place(name)
        except InvalidRequest:  # no voice can have that name
            return None
        with self._disk(f"read the voice {name!r}"):
            if not exists(place):
                return None
            try:
                return read_voice(place, read_document(place))
            except (*UNREADABLE, FileNotFoundError) as error:
                if not exists(place):  # removed by somebody else in this very moment
                    return None
                raise _damaged(name, place, error) from error

    def names(self) -> list[str]:
        """Return the names of the voices that are not damaged, in order.

        Raises:
            StorageFailed: The folder cannot be read.
        """
        return [entry.name for entry in self.entries() if not entry.problem]

    def entries(self) -> list[VoiceEntry]:
        """List all voices in the order of their names; a damaged one says so and hides no other.

        Reads everything that is stored, to notice all damage: some milliseconds for each recording.

        Raises:
            StorageFailed: The folder cannot be read.
        """
        with self._disk("list the voices"):
            found = [_entry(place) for place in self._places()]
        return sorted((entry for entry in found if entry), key=lambda entry: name_key(entry.name))

    def remove(self, name: str) -> None:
        """Remove a voice; one that is damaged goes too, by the name that ``entries`` gives it.

        Raises:
            UnknownSpeaker: There is no such voice; the message lists those there are.
            StorageFailed: The disk refuses.
        """
        with self._disk(f"remove the voice {name!r}"):
            place = self._place_to_remove(name)
            if place is None:
                raise self._unknown(name)
            with self._unfinished() as gone:
                try:
                    place.rename(gone)
                except FileNotFoundError:  # somebody else was faster
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
            hint=f"{listed} storycore-tts voices list shows them, voices add makes others.",
        )

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """Hand out a new folder's path; what is there afterwards is removed."""
        folder = self.folder / f"{_UNFINISHED}{uuid4().hex}"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what others began to write and were killed over."""
        for folder in self.folder.glob(f"{_UNFINISHED}*"):
            with suppress(FileNotFoundError):  # its owner has just finished
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
                hint="Mend the folder, or name another one in tts.qwen.voices_dir.",
            ) from error


def _move_in(draft: Path, place: Path, name: str) -> None:
    try:
        draft.rename(place)
    except OSError:
        if exists(place):  # somebody else was faster
            raise _taken(name) from None
        raise


def _entry(place: Path) -> VoiceEntry | None:
    """Read a voice and describe it; None if it was removed in this very moment."""
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
        hint=f"Remove it and add it again, or mend the files in {place}.",
    )


def _taken(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"There is already a stored voice {name!r}.",
        hint="Choose another name, or remove that voice first.",
    )
