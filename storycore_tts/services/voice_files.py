"""The files of a stored voice: ``voice.json``, and ``reference.wav`` if it is a clone.

All functions block while they read and write.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from storycore_tts.concurrency.shared_files import replace_file
from storycore_tts.domain.consent import Consent
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice, name_key, voice_name
from storycore_tts.errors import InvalidRequest, StorageFailed, TTSError, shown
from storycore_tts.sound.files import encode_exactly

_FORMAT = 2  # of voice.json; in format 1, the consent is a string
_DOCUMENT = "voice.json"
_RECORDING = "reference.wav"

# Errors that a damaged or hand-written document can cause when it is read.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, InvalidRequest)


def folder_name(name: str) -> str:
    """Return the folder name of a voice.

    The voice's name is not safe as a file name: it may be too long, reserved (CON), end in a dot,
    or differ from another one only in ways that the file system ignores.

    Args:
        name: Name of the voice.

    Raises:
        InvalidRequest: The name is not valid.
    """
    key = name_key(voice_name(name))
    readable = re.sub(r"[^a-z0-9]+", "-", key)[:32].strip("-") or "voice"
    return f"{readable}-{sha256(key.encode()).hexdigest()[:16]}"


def write_voice(voice: StoredVoice, folder: Path) -> None:
    """Write the files of a voice to a folder, and sync them to disk.

    Args:
        voice: The voice.
        folder: An existing folder.

    Raises:
        OSError: A file cannot be written.
    """
    document: dict[str, Any] = {
        "format": _FORMAT,
        "name": voice.name,
        "kind": voice.kind,
        "language": voice.language,
        "consent": voice.consent_record and voice.consent_record.to_json(),
        "created": voice.created.isoformat(),
    }
    if voice.reference is None:
        document["checkpoint"] = voice.checkpoint
        document["speaker"] = voice.speaker
        document["model_choice"] = voice.model_choice
        document["instruct"] = voice.instruct
    else:
        audio = encode_exactly(voice.reference.samples, int(voice.reference.sample_rate))
        document["transcript"] = voice.reference.transcript
        document["sha256"] = sha256(audio).hexdigest()
        write_through(folder / _RECORDING, audio)
    write_through(folder / _DOCUMENT, _text(document))


def replace_consent(place: Path, consent: Consent) -> None:
    """Replace the consent of a stored voice, at once.

    Args:
        place: Folder of the voice.
        consent: The consent, bound to the voice.

    Raises:
        OSError: The file cannot be read or written.
        Exception: One of ``UNREADABLE``; the voice is damaged.
    """
    document = {**read_document(place), "format": _FORMAT, "consent": consent.to_json()}
    replace_file(place / _DOCUMENT, _text(document))


def _text(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


def write_through(path: Path, data: bytes) -> None:
    """Write a new file and sync it, so that a crash after a rename cannot leave an empty file.

    Args:
        path: The file, which must not exist.
        data: Its contents.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_voice(place: Path, document: dict[str, Any]) -> StoredVoice:
    """Return the voice in a folder.

    Args:
        place: The folder.
        document: Its document, from ``read_document``.

    Raises:
        OSError: A file cannot be read.
        ConsentRefused: The consent was given for another recording.
        Exception: One of ``UNREADABLE``; the voice is damaged.
    """
    shared: dict[str, Any] = {
        "name": document["name"],
        "language": document["language"],
        "consent_record": consent_in(document),
        "created": datetime.fromisoformat(document["created"]),
    }
    if document["kind"] == "clone":
        return StoredVoice(**shared, reference=_read_recording(place, document))
    return StoredVoice(
        **shared,
        checkpoint=document["checkpoint"],
        speaker=document["speaker"],
        model_choice=document["model_choice"],
        instruct=document["instruct"],
    )


def consent_in(document: dict[str, Any]) -> Consent | None:
    """Return the consent in a voice's document; None if it has none.

    Args:
        document: The document, from ``read_document``.

    Raises:
        Exception: One of ``UNREADABLE``; the voice is damaged.
    """
    found = document["consent"]
    if document["format"] != 1:
        return None if found is None else Consent.from_json(found)
    if not found:
        return None
    # Not bound to a recording, and with the same id at each reading.
    key = json.dumps([document["name"], document["created"], found])
    created = datetime.fromisoformat(document["created"])
    return Consent(found, given=created, id=sha256(key.encode()).hexdigest()[:32])


def read_document(place: Path) -> dict[str, Any]:
    """Return the contents of a voice's ``voice.json``.

    Args:
        place: Folder of the voice.

    Raises:
        OSError: The file cannot be read.
        Exception: One of ``UNREADABLE``; the file is damaged.
    """
    document = json.loads((place / _DOCUMENT).read_text("utf-8"))
    if document["format"] not in (1, _FORMAT):
        raise ValueError(f"{_DOCUMENT} has the unknown format {shown(document['format'])}")
    if document["kind"] not in ("clone", "checkpoint"):
        raise ValueError(f"the kind {shown(document['kind'])} is unknown")
    if folder_name(document["name"]) != place.name:
        raise ValueError(
            f"it holds the voice {shown(document['name'])}, which belongs in another folder"
        )
    return dict(document)


def recording_in(place: Path, document: dict[str, Any]) -> bytes:
    """Return the file of a voice's recording; b"" if there is none.

    Args:
        place: Folder of the voice.
        document: Its document, from ``read_document``.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        return (place / _RECORDING).read_bytes() if document["kind"] == "clone" else b""
    except FileNotFoundError:
        return b""


def _read_recording(place: Path, document: dict[str, Any]) -> ReferenceAudio:
    audio = (place / _RECORDING).read_bytes()
    if sha256(audio).hexdigest() != document["sha256"]:
        raise ValueError(f"{_RECORDING} is not the file that was stored")
    return ReferenceAudio.from_bytes(audio, transcript=document["transcript"], name=_RECORDING)


def reason_of(error: Exception) -> str:
    """Return the reason why a voice cannot be read, for a message.

    Args:
        error: An ``OSError``, an error of ours, or one of ``UNREADABLE``.
    """
    if isinstance(error, OSError):
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    if isinstance(error, KeyError):
        return f"{_DOCUMENT} has no key {error}"
    said = error.message if isinstance(error, TTSError) else str(error)
    return said.rstrip(".")


def damaged(name: str, place: Path, error: Exception) -> StorageFailed:
    """Return the error for a damaged voice.

    Args:
        name: Name of the voice.
        place: Its folder.
        error: An ``OSError``, or one of ``UNREADABLE``.
    """
    return StorageFailed(
        f"The stored voice {name!r} is damaged: {reason_of(error)}.",
        hint=f"Remove it and add it again, or repair the files in {place}.",
    )


@contextmanager
def disk(folder: Path, what: str) -> Iterator[None]:
    """Convert the errors of the file system to ``StorageFailed``.

    Args:
        folder: Folder of the voices.
        what: What is done in it, for the message.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise StorageFailed(
            f"Cannot {what} in {folder}: {reason}.",
            hint="Repair the folder, or set another one in tts.qwen.voices_dir.",
        ) from error
