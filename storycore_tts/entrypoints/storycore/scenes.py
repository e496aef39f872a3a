"""A dialogue of the engine's, spoken: its JSON becomes lines, takes, clips and audio tracks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from storycore_tts.adapters.engine.dialogues import read_dialogue
from storycore_tts.adapters.engine.timeline import audio_tracks, clips
from storycore_tts.domain.script import NotSpoken, Script, Take, placed
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.entrypoints.storycore import lines
from storycore_tts.services.output import write_file
from storycore_tts.services.scenes import parts_of, planned
from storycore_tts.services.takes import speak_lines
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
        return clips(self.script, self.takes, self.track_id)

    @property
    def audio_tracks(self) -> list[dict[str, Any]]:
        """What a shot of the engine holds under this name."""
        return audio_tracks(self.clips)

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
        parts, warnings = await parts_of(tts, lines.casting(settings), script)
        ready, failed = await planned(tts, script, parts)
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
    data = f"{text}\n".encode("utf-8", "backslashreplace")
    await asyncio.to_thread(write_file, folder / "scene.json", data)
    return scene
