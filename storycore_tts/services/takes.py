"""Takes: lines that were spoken, as files that are kept while nothing about them changes.

``takes.json`` beside the files holds the key of each: a hash of all that the sound depends on.
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
    """A line that is ready to be spoken.

    Args:
        line: Of the script.
        request: What is asked of the backend.
        speaker: The voice, for people to read.
        notes: What there is to say of the choice.
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
    """Speak lines into a folder, a file each; a line that fails does not keep the others.

    What an earlier run spoke is kept, whatever the line was called then; what a fallback spoke is
    spoken again.

    Args:
        tts: Who speaks.
        script: Names the files.
        planned: What to speak.
        folder: Made if it is missing.
        model: What else the sound depends on, such as "1.7B".
        concurrency: Lines at a time.

    Returns:
        In the order of ``planned``.

    Raises:
        StorageFailed: The folder cannot be used.
    """
    keys = [speech_key(one.request, f"{tts.backend} {model}") for one in planned]
    takes = await asyncio.to_thread(_Takes, folder, tts.backend, keys)
    gate, writing = asyncio.Semaphore(concurrency), asyncio.Lock()

    async def one(plan: Planned, key: str) -> Take | NotSpoken:
        name = f"{script.file_name(plan.line)}.wav"
        try:
            async with gate:
                kept = takes.kept(name, key)
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
    """Return a hash of all that the sound of a line depends on; whose line it is does not count."""
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
    """The files of a folder by name, and the sound of those that are wanted again.

    Blocks while it reads and writes.
    """

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
        """Return a take of that key: the one of that name, or of a line that was moved."""
        for other in (name, *self._kept):
            if other in self._kept and self._kept[other]["key"] == key:
                return self._kept[other], self._sounds[other]
        return None

    def write(self, name: str, entry: dict[str, Any], data: bytes) -> None:
        """Write a take's file, and then that it is there.

        Raises:
            StorageFailed: The disk refuses.
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
        except OSError:  # then it is spoken again
            return
        if sha256(data).hexdigest() == entry["sha256"]:
            self._sounds[name] = data

    def _read(self) -> dict[str, dict[str, Any]]:
        """Return what the index says; one that is damaged says nothing, and all is spoken again."""
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
