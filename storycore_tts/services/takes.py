"""Takes: generated lines cached as files, and reused until something about them changes.

``takes.json`` beside the files holds the key of each: a hash of everything that affects its audio.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from storycore_tts.concurrency.waiting import all_ended
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.script import Line, NotSpoken, Script, Take
from storycore_tts.domain.speech import Speech, write_whole
from storycore_tts.errors import StorageFailed, TTSError
from storycore_tts.services.files import replace_text
from storycore_tts.services.job_specs import written
from storycore_tts.services.speech import TextToSpeech

_INDEX = "takes.json"
_KNOWN = frozenset(("key", "sha256", "samples", "sample_rate", "backend", "warnings"))


@dataclass(frozen=True)
class Planned:
    """A line with the request to generate it.

    Args:
        line: The line of the script.
        request: The request to the backend.
        speaker: Display name of the voice.
        notes: Notes on the choice of the voice.
    """

    line: Line
    request: SpeechRequest | CloneRequest
    speaker: str
    notes: tuple[str, ...] = ()


async def speak_lines(
    tts: TextToSpeech,
    script: Script,
    planned: Sequence[Planned],
    folder: Path,
    *,
    model: str,
    concurrency: int = 4,
) -> list[Take | NotSpoken]:
    """Generate each line into a file of its own. A line that fails does not stop the others.

    Takes of earlier runs are reused, even for lines that were renamed; takes by a fallback backend
    are generated again.

    Args:
        tts: The service.
        script: The script, which names the files.
        planned: The lines to generate.
        folder: Folder of the files; created if it is missing.
        model: Model size, such as "1.7B"; part of the cache key.
        concurrency: Maximum number of lines generated at once.

    Returns:
        The takes and failed lines, in the order of ``planned``.

    Raises:
        StorageFailed: The folder cannot be created or written to.
    """
    keys = [speech_key(one.request, f"{tts.backend} {model}") for one in planned]
    takes = await asyncio.to_thread(_Takes, folder, tts.backend, keys)
    gate, writing = asyncio.Semaphore(concurrency), asyncio.Lock()

    async def one(plan: Planned, key: str) -> Take | NotSpoken:
        name = f"{script.file_name(plan.line)}.wav"
        try:
            async with gate:
                kept = takes.kept(name, key)
                if kept is not None:
                    await tts.check_consent(plan.request)
                if kept is None:
                    speech = await tts.speak(plan.request)
                    data = await asyncio.to_thread(speech.encode)
                    entry = _entry(key, speech, data)
                else:
                    entry, data = kept
                async with writing:
                    await asyncio.to_thread(takes.write, name, entry, data)
        except TTSError as error:
            return NotSpoken(plan.line, error)
        facts = {k: entry[k] for k in ("samples", "sample_rate", "backend")}
        warnings = (*plan.notes, *entry["warnings"])
        return Take(
            plan.line, folder / name, plan.speaker, warnings=warnings, is_new=kept is None, **facts
        )

    tasks = [asyncio.ensure_future(one(*pair)) for pair in zip(planned, keys, strict=True)]

    def leave() -> None:
        for task in tasks:
            task.cancel()

    await all_ended(tasks, leave)
    return [task.result() for task in tasks]


def speech_key(request: SpeechRequest | CloneRequest, model: str) -> str:
    """Return a hash of everything that affects the audio of a line, but not of its project.

    Args:
        request: The request for the line.
        model: Name of backend and model.
    """
    said: dict[str, Any] = {"model": model, "sampling": written(request.sampling)}
    if isinstance(request, CloneRequest):
        sound = request.reference
        said |= {
            "samples": sha256(sound.samples.tobytes()).hexdigest(),
            "sample_rate": int(sound.sample_rate),
            "transcript": sound.transcript,
            "x_vector_only": request.x_vector_only,
        }
    else:
        said |= {"speaker": request.speaker, "instruct": request.instruct}
    said |= {
        "text": request.text,
        "language": request.language,
        "checkpoint": request.checkpoint,
    }
    return sha256(json.dumps(said, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


class _Takes:
    """Index of the takes in a folder, with the audio of those that can be reused. Methods block."""

    def __init__(self, folder: Path, backend: str, wanted: Iterable[str]) -> None:
        self._folder, self._index = folder, folder / _INDEX
        self._sounds: dict[str, bytes] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(f"Cannot write to {folder}: {error.strerror}.") from error
        self._entries = self._read()
        keys = set(wanted)
        for name, entry in self._entries.items():
            if entry["key"] in keys and entry["backend"] == backend:
                self._load(name, entry)
        self._kept = {name: self._entries[name] for name in self._sounds}

    def kept(self, name: str, key: str) -> tuple[dict[str, Any], bytes] | None:
        """Return a take with this key, preferably the one with this name."""
        for other in (name, *self._kept):
            if other in self._kept and self._kept[other]["key"] == key:
                return self._kept[other], self._sounds[other]
        return None

    def write(self, name: str, entry: dict[str, Any], data: bytes) -> None:
        """Write the file of a take, then its entry in the index.

        Raises:
            StorageFailed: The folder cannot be written to.
        """
        try:
            write_whole(self._folder / name, data)
            self._entries[name] = entry
            text = json.dumps(self._entries, indent=1, sort_keys=True)
            replace_text(self._index, f"{text}\n")
        except OSError as error:
            raise StorageFailed(f"Cannot write to {self._folder}: {error.strerror}.") from error

    def _load(self, name: str, entry: dict[str, Any]) -> None:
        try:
            data = (self._folder / name).read_bytes()
        except OSError:  # the line is generated again
            return
        if sha256(data).hexdigest() == entry["sha256"]:
            self._sounds[name] = data

    def _read(self) -> dict[str, dict[str, Any]]:
        """Return the entries of the index; none if it is damaged, so that all are regenerated."""
        try:
            entries = json.loads(self._index.read_text(encoding="utf-8"))
            return {name: entry for name, entry in dict(entries).items() if entry.keys() >= _KNOWN}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}


def _entry(key: str, speech: Speech, data: bytes) -> dict[str, Any]:
    return {
        "key": key,
        "sha256": sha256(data).hexdigest(),
        "samples": len(speech.samples),
        "sample_rate": speech.sample_rate,
        "backend": speech.backend,
        "warnings": list(speech.warnings),
    }
