"""The voice library: the user's own voices, stored by name on the local disk.

Each voice is a folder with ``voice.json``, and ``reference.wav`` if it is cloned from a recording.
A folder is written under a temporary name and then renamed, so that concurrent processes see either
the complete voice or none.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from storycore_tts.domain.consent import Consent, Revocation
from storycore_tts.domain.stored_voices import StoredVoice, VoiceKind, name_key
from storycore_tts.errors import (
    ConsentRefused,
    InvalidRequest,
    UnknownSpeaker,
    did_you_mean,
    shown,
)
from storycore_tts.services.consents import Consents
from storycore_tts.services.files import exists, user_data
from storycore_tts.services.voice_files import (
    UNREADABLE,
    consent_in,
    damaged,
    disk,
    folder_name,
    read_document,
    read_voice,
    reason_of,
    recording_in,
    replace_consent,
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
        consent: The consent to its use; None if there is none.
    """

    name: str
    kind: VoiceKind | None = None
    language: str | None = None
    created: datetime | None = None
    problem: str = ""
    consent: Consent | None = None


class VoiceLibrary:
    """Voices stored by name in a folder. Methods block while they read and write.

    Several processes may use the same folder at the same time.

    Args:
        folder: Folder of the voices, created when the first one is added. None: ``voices`` in the
            user data folder of this program.
        clock: Returns the current time, with a time zone, for consents that expire; None: the
            machine's.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.folder = user_data() / "voices" if folder is None else Path(folder).absolute()
        clocks = {} if clock is None else {"clock": clock}
        self.consents = Consents(self.folder, **clocks)
        """What is known of the consents to the use of these voices."""

    def add(self, voice: StoredVoice) -> None:
        """Store a voice.

        Args:
            voice: The voice.

        Raises:
            InvalidRequest: A voice with this name exists, possibly a damaged one.
            ConsentRefused: The consent to the use of this recording was revoked, and this is no
                new one.
            StorageFailed: The folder cannot be written to; nothing was stored.
        """
        place = self._place(voice.name)
        with self._disk(f"store the voice {voice.name!r}"):
            if exists(place):
                raise _taken(voice.name)
            self.consents.check_new(voice)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with self._unfinished() as draft:
                draft.mkdir()
                write_voice(voice, draft)
                _move_in(draft, place, voice.name)

    def get(self, name: str, *, owner: str | None = None) -> StoredVoice:
        """Return a voice by its name, ignoring case.

        Args:
            name: Name of the voice.
            owner: See ``find``.

        Raises:
            UnknownSpeaker: There is no such voice; the hint lists the stored ones.
            ConsentRefused: See ``find``.
            StorageFailed: The voice is damaged or cannot be read.
        """
        voice = self.find(name, owner=owner)
        if voice is None:
            raise self._unknown(name, owner)
        return voice

    def find(self, name: str, *, owner: str | None = None) -> StoredVoice | None:
        """Return a voice by its name, ignoring case, or None if there is none.

        Args:
            name: Name of the voice.
            owner: Key owner of a service, who does not find the voices of other owners; None: finds
                all.

        Raises:
            ConsentRefused: The consent to its use was revoked, or given for another recording.
            StorageFailed: The voice is damaged or cannot be read.
        """
        try:
            place = self._place(name)
        except InvalidRequest:  # not a valid name
            return None
        with self._disk(f"read the voice {name!r}"):
            if not exists(place):
                for one in self.consents.revocations(name):
                    if _owns(owner, one.owner):
                        raise one.refusal()
                return None
            try:
                voice = read_voice(place, read_document(place))
            except (*UNREADABLE, FileNotFoundError) as error:
                if not exists(place):  # removed concurrently
                    return None
                raise damaged(name, place, error) from error
            return voice if _is_for(owner, voice.consent_record) else None

    def names(self, *, owner: str | None = None) -> list[str]:
        """Return the sorted names of all voices that are not damaged.

        Args:
            owner: See ``find``.

        Raises:
            StorageFailed: The folder cannot be read.
        """
        return [entry.name for entry in self.entries(owner=owner) if not entry.problem]

    def entries(self, *, owner: str | None = None) -> list[VoiceEntry]:
        """List all voices, sorted by name, including damaged ones.

        Reads every file to detect damage, which takes some milliseconds for each recording.

        Args:
            owner: See ``find``.

        Raises:
            StorageFailed: The folder cannot be read.
        """
        with self._disk("list the voices"):
            found = [_entry(place) for place in self._places()]
        known = [entry for entry in found if entry and _is_for(owner, entry.consent)]
        return sorted(known, key=lambda entry: name_key(entry.name))

    def remove(self, name: str, *, owner: str | None = None) -> None:
        """Remove a voice, without a trace; see ``revoke``.

        Args:
            name: Name of the voice; for a damaged one, the name in ``entries``.
            owner: See ``find``; a damaged voice may be removed by every owner.

        Raises:
            UnknownSpeaker: There is no such voice; the hint lists the stored ones.
            StorageFailed: The folder cannot be read or changed.
        """
        with self._disk(f"remove the voice {name!r}"):
            place = self._place_to_remove(name)
            if place is None or not _is_for(owner, _consent_at(place)):
                raise self._unknown(name, owner)
            with self._unfinished() as gone:
                try:
                    place.rename(gone)
                except FileNotFoundError:  # removed concurrently
                    raise self._unknown(name, owner) from None

    def revoke(
        self, name: str, *, reason: str = "", owner: str | None = None
    ) -> tuple[Revocation, bytes]:
        """Revoke the consent to the use of a voice, for good, and remove the voice.

        A record of the revocation stays: lines in this voice are refused, and the same recording
        can be stored again only with a new consent. If the voice was revoked before, this returns
        the latest revocation.

        Args:
            name: Name of the voice.
            reason: Why, in words.
            owner: See ``find``.

        Returns:
            The revocation, and the file of the recording; b"" if there was none.

        Raises:
            UnknownSpeaker: There is no such voice; the hint lists the stored ones.
            StorageFailed: The voice is damaged, or the folder cannot be changed.
        """
        place = self._place(name)
        with self._disk(f"revoke the voice {name!r}"):
            try:
                document = read_document(place)
                consent, recording = consent_in(document), recording_in(place, document)
                reference = _reference_at(place, document, consent)
            except (*UNREADABLE, FileNotFoundError) as error:
                if exists(place):
                    raise damaged(name, place, error) from error
                return self._revoked_before(name, owner), b""
            if not _is_for(owner, consent):
                raise self._unknown(name, owner)
            # First, so that a crash in between leaves a voice that is refused.
            revocation = self.consents.revoke(document["name"], consent, reference, reason)
            gone = self.folder / f"{_UNFINISHED}{uuid4().hex}"
            place.rename(gone)
            shutil.rmtree(gone)
        return revocation, recording

    def replace_consent(self, name: str, consent: Consent) -> StoredVoice:
        """Replace the record of the consent to the use of a voice.

        Args:
            name: Name of the voice.
            consent: The new record.

        Raises:
            UnknownSpeaker: There is no such voice; the hint lists the stored ones.
            ConsentRefused: It was given for another recording, or was revoked.
            StorageFailed: The voice is damaged, or cannot be written.
        """
        voice = replace(self.get(name), consent="", consent_record=consent)
        assert voice.consent_record is not None
        with self._disk(f"store the consent of the voice {name!r}"):
            self.consents.check_new(voice)
            replace_consent(self._place(name), voice.consent_record)
        return voice

    def _revoked_before(self, name: str, owner: str | None) -> Revocation:
        earlier = [one for one in self.consents.revocations(name) if _owns(owner, one.owner)]
        if not earlier:
            raise self._unknown(name, owner)
        return earlier[-1]

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

    def _unknown(self, name: str, owner: str | None = None) -> UnknownSpeaker:
        names = self.names(owner=owner)
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

    def _disk(self, what: str) -> AbstractContextManager[None]:
        return disk(self.folder, what)


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
    except (*UNREADABLE, ConsentRefused, OSError) as error:
        return VoiceEntry(name, problem=reason_of(error)) if place.exists() else None
    return VoiceEntry(
        voice.name, voice.kind, voice.language, voice.created, consent=voice.consent_record
    )


def _consent_at(place: Path) -> Consent | None:
    """Return the consent of a voice; None if it has none, or is damaged."""
    try:
        return consent_in(read_document(place))
    except (*UNREADABLE, OSError):
        return None


def _reference_at(place: Path, document: dict[str, Any], consent: Consent | None) -> str:
    if consent is not None and consent.reference_sha256:
        return consent.reference_sha256
    return read_voice(place, document).reference_sha256


def _is_for(owner: str | None, consent: Consent | None) -> bool:
    return consent is None or _owns(owner, consent.owner)


def _owns(owner: str | None, of_voice: str) -> bool:
    return owner is None or of_voice in ("", owner)


def _taken(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"There is already a stored voice {name!r}.",
        hint="Choose another name, or remove that voice first.",
    )
