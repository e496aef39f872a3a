"""A dialogue of the engine's, spoken: its JSON becomes lines, takes, clips and audio tracks."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from storycore_tts.domain.casting import Character
from storycore_tts.domain.errors import InvalidRequest, TTSError, UnknownSpeaker, shown
from storycore_tts.domain.presets import THOUGHT, manner
from storycore_tts.domain.script import Line, Script, placed
from storycore_tts.domain.voices import find_speaker
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.entrypoints.storycore import lines, timeline
from storycore_tts.services.casting import Part
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.services.takes import NotSpoken, Planned, Take, speak_lines
from storycore_tts.settings import QwenTTSConfig

_OUTPUT = "output"  # the folder that the engine serves
_TRACK = "dialogue"


@dataclass(frozen=True)
class SpokenScene:
    """A scene that was spoken.

    Args:
        script: What was to be said.
        folder: Where the files are, and ``scene.json`` with ``as_json()``.
        takes: The lines that were spoken, in order.
        failed: Those that were not.
        warnings: What is doubtful about the cast.
        track_id: The track that the clips name.
    """

    script: Script
    folder: Path
    takes: tuple[Take, ...]
    failed: tuple[NotSpoken, ...]
    warnings: tuple[str, ...] = ()
    track_id: str = _TRACK

    @property
    def duration(self) -> float:
        """From the first line's start to the last one's end, in seconds."""
        times = placed((take.line.character.id, take.duration) for take in self.takes)
        return float(max((end for _, end in times), default=0))

    @property
    def clips(self) -> list[dict[str, Any]]:
        """The engine's ``TimelineClip``s; times in seconds."""
        return timeline.clips(self.script, self.takes, self.track_id)

    @property
    def audio_tracks(self) -> list[dict[str, Any]]:
        """What a shot of the engine holds under this name."""
        return timeline.audio_tracks(self.clips)

    def as_json(self) -> dict[str, Any]:
        """Return all that is known of it."""
        return {
            "scene_id": self.script.id,
            "title": self.script.title,
            "duration": round(self.duration, 6),
            "clips": self.clips,
            "audio_tracks": self.audio_tracks,
            "failed": [
                {
                    "number": one.line.number,
                    "line_id": one.line.id,
                    "character_id": one.line.character.id,
                    "error": str(one.error),
                }
                for one in self.failed
            ],
            "warnings": list(self.warnings),
        }


async def speak_scene(
    dialogue: str | PathLike[str],
    *,
    config: QwenTTSConfig | str | Path | None = None,
    out: str | PathLike[str] | None = None,
    track_id: str = _TRACK,
    concurrency: int = 4,
) -> SpokenScene:
    """Speak a dialogue of the engine's, each line in its character's voice and into its own file.

    A line that fails is named, and the others are kept; called again, only what is missing or has
    changed is spoken.

    Args:
        dialogue: The engine's ``data/dialogues/<scene_id>.json``.
        config: Settings, the path of a YAML file, or None for the usual places.
        out: Folder for the files; None: one of the scene's name below ``tts.qwen.output_dir``, or
            below ``output``.
        track_id: The track that the clips shall name.
        concurrency: Lines at a time.

    Raises:
        ConfigurationError: The settings or the cast are refused.
        InvalidRequest: The dialogue cannot be read; its damaged line is named.
        UnknownSpeaker: The cast names a voice that is nowhere.
        TTSError: Nobody could be asked for voices, or the folder cannot be written to.
    """
    script = await asyncio.to_thread(read_dialogue, dialogue)
    speech = SpeechBySize(config)
    try:
        settings, tts = speech.config, speech.tts()
        usual = Path(settings.output_dir or _OUTPUT) / script.folder_name
        folder = (usual if out is None else Path(out)).absolute()
        parts, warnings = await _parts(tts, settings, script)
        ready, failed = await _planned(tts, script, parts)
        spoken = await speak_lines(
            tts, script, ready, folder, model=settings.model_choice, concurrency=concurrency
        )
    finally:
        await speech.aclose()
    scene = SpokenScene(
        script,
        folder,
        tuple(one for one in spoken if isinstance(one, Take)),
        (*failed, *(one for one in spoken if isinstance(one, NotSpoken))),
        warnings,
        track_id,
    )
    text = json.dumps(scene.as_json(), indent=1, ensure_ascii=False)
    await lines.written(folder / "scene.json", f"{text}\n".encode("utf-8", "backslashreplace"))
    return scene


def read_dialogue(file: str | PathLike[str]) -> Script:
    """Read a dialogue of the engine's; what is optional may be missing.

    Raises:
        InvalidRequest: It cannot be read, or a line has no words or no character; it is named.
    """
    path = Path(file)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"Cannot read the dialogue {path}: {error}.") from None
    if not isinstance(document, Mapping) or not isinstance(document.get("lines"), list):
        raise InvalidRequest(
            f"{path} is no dialogue: it has no list of lines.",
            hint="StoryCore-Engine writes them to data/dialogues/<scene_id>.json.",
        )
    found = tuple(_line(path, n, line) for n, line in enumerate(document["lines"], start=1))
    if not found:
        raise InvalidRequest(f"{path} has no lines.")
    scene = _text(document, "scene_id", f"{path}:") or path.stem
    return Script(scene, _text(document, "title", f"{path}:"), found)


def _line(path: Path, count: int, line: Any) -> Line:
    where = f"{path}: line {count}"
    if not isinstance(line, Mapping):
        raise InvalidRequest(f"{where} must be an object, not {shown(line)}.")
    line_id = _text(line, "line_id", where)
    where = f"{where} ({line_id})" if line_id else where
    name = _text(line, "character_name", where)
    who = _text(line, "character_id", where) or name
    words = _text(line, "dialogue", where)
    for value, missing in ((who, "character_id"), (words, "dialogue")):
        if not value:
            raise InvalidRequest(f"{where} has no {missing}.")
    thought = line.get("is_thought")
    if not isinstance(thought, bool | None):
        raise InvalidRequest(f"{where}: is_thought cannot be {shown(thought)}.")
    emotion = _text(line, "emotion", where)
    how = manner(emotion, _text(line, "voice_direction", where), THOUGHT if thought else "")
    return Line(count * 10, line_id, Character(who, name), words, how, emotion)


def _text(part: Mapping[str, Any], key: str, where: str) -> str:
    value = part.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise InvalidRequest(f"{where}: {key} cannot be {shown(value)}.")
    return "" if value is None else str(value).strip()


async def _parts(
    tts: TextToSpeech, config: QwenTTSConfig, script: Script
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return who speaks for whom, and who shares a voice; those without one avoid the others'."""
    cast, speakers = lines.casting(config), [one.name for one in await tts.speakers()]
    people = {line.character.id: line.character for line in script.lines}
    found = {who: await asyncio.to_thread(cast.find, one) for who, one in people.items()}
    parts = {who: part for who, part in found.items() if part is not None}
    for who in (who for who, part in found.items() if part is None):
        near = [part.voice.voice for part in parts.values()]
        parts[who] = await lines.part_of(tts, cast, people[who], near=near)
    shared = defaultdict[str, list[str]](list)
    for part in parts.values():
        shared[await _checked(tts, part, speakers)].append(part.character.called)
    return parts, tuple(
        f"{voice} speaks for {' and '.join(names)}" for voice, names in shared.items() if names[1:]
    )


async def _checked(tts: TextToSpeech, part: Part, speakers: Sequence[str]) -> str:
    """Return a part's voice, if there is such a voice: nobody speaks before that is known."""
    voice = part.voice
    if voice.checkpoint is not None:
        return voice.voice
    if await asyncio.to_thread(tts.voices.find, voice.voice) is not None:
        return voice.voice
    try:
        return find_speaker(voice.voice, speakers, backend=tts.backend)
    except UnknownSpeaker as error:
        error.message = f"{part.character.called} cannot be heard: {error.message}"
        raise


async def _planned(
    tts: TextToSpeech, script: Script, parts: Mapping[str, Part]
) -> tuple[list[Planned], list[NotSpoken]]:
    ready: list[Planned] = []
    failed: list[NotSpoken] = []
    for line in script.lines:
        part = parts[line.character.id]
        try:
            asked = await lines.request_in(
                tts, part.voice, line.text, instruct=line.instruct, notes=part.notes
            )
        except TTSError as error:
            failed.append(NotSpoken(line, error))
        else:
            ready.append(Planned(line, asked.request, asked.speaker, asked.notes))
    return ready, failed
