"""The files of a stored voice: ``voice.json``, and ``reference.wav`` if it is a clone.

All functions block while they read and write.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice, name_key, voice_name
from storycore_tts.errors import InvalidRequest, shown
from storycore_tts.sound.files import encode_exactly

_FORMAT = 1  # of voice.json
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
        "consent": voice.consent,
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
        _write_through(folder / _RECORDING, audio)
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    _write_through(folder / _DOCUMENT, text.encode())


def _write_through(path: Path, data: bytes) -> None:
    """Write a file and sync it, so that a crash after the rename cannot leave an empty file."""
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
        Exception: One of ``UNREADABLE``; the voice is damaged.
    """
    shared: dict[str, Any] = {
        "name": document["name"],
        "language": document["language"],
        "consent": document["consent"],
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


def read_document(place: Path) -> dict[str, Any]:
    """Return the contents of a voice's ``voice.json``.

    Args:
        place: Folder of the voice.

    Raises:
        OSError: The file cannot be read.
        Exception: One of ``UNREADABLE``; the file is damaged.
    """
    document = json.loads((place / _DOCUMENT).read_text("utf-8"))
    if document["format"] != _FORMAT:
        raise ValueError(f"{_DOCUMENT} has the format {shown(document['format'])}, not {_FORMAT}")
    if document["kind"] not in ("clone", "checkpoint"):
        raise ValueError(f"the kind {shown(document['kind'])} is unknown")
    if folder_name(document["name"]) != place.name:
        raise ValueError(
            f"it holds the voice {shown(document['name'])}, which belongs in another folder"
        )
    return dict(document)


def _read_recording(place: Path, document: dict[str, Any]) -> ReferenceAudio:
    audio = (place / _RECORDING).read_bytes()
    if sha256(audio).hexdigest() != document["sha256"]:
        raise ValueError(f"{_RECORDING} is not the file that was stored")
    return ReferenceAudio.from_bytes(audio, transcript=document["transcript"], name=_RECORDING)


def reason_of(error: Exception) -> str:
    """Return the reason why a voice cannot be read, for a message.

    Args:
        error: An ``OSError``, or one of ``UNREADABLE``.
    """
    if isinstance(error, OSError):
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    if isinstance(error, KeyError):
        return f"{_DOCUMENT} has no key {error}"
    said = error.message if isinstance(error, InvalidRequest) else str(error)
    return said.rstrip(".")
