"""Generates the engine's dialogues: JSON to lines, takes, clips and audio tracks."""

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
    """A generated scene.

    Args:
        script: The script.
        folder: Folder of the files, including ``scene.json``, the output of ``as_json()``.
        takes: The generated lines, in order.
        failed: Lines that failed.
        warnings: Warnings about the cast.
        track_id: Track id in the clips.
    """

    script: Script
    folder: Path
    takes: tuple[Take, ...]
    failed: tuple[NotSpoken, ...]
    warnings: tuple[str, ...] = ()
    track_id: str = _TRACK

    @property
    def duration(self) -> float:
        """Duration from the start of the first line to the end of the last one, in seconds."""
        times = placed((take.line.character.id, take.duration) for take in self.takes)
        return float(max((end for _, end in times), default=0))

    @property
    def clips(self) -> list[dict[str, Any]]:
        """The clips as the engine's ``TimelineClip``s; times in seconds."""
        return clips(self.script, self.takes, self.track_id)

    @property
    def audio_tracks(self) -> list[dict[str, Any]]:
        """The ``audio_tracks`` of a shot of the engine."""
        return audio_tracks(self.clips)

    def as_json(self) -> dict[str, Any]:
        """Return all data of the scene as JSON."""
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
    """Generate a dialogue of the engine, each line in its character's voice and its own file.

    Lines that fail are listed in the result, and the others are kept. When called again, only
    missing or changed lines are generated.

    Args:
        dialogue: Path of the engine's ``data/dialogues/<scene_id>.json``.
        config: Settings, the path of a YAML file, or None for the default locations.
        out: Folder for the files; None: one with the scene's name in ``tts.qwen.output_dir``, or in
            ``output``.
        track_id: Track id for the clips.
        concurrency: Maximum number of lines generated at once.

    Raises:
        ConfigurationError: The settings or the cast are invalid.
        InvalidRequest: The dialogue cannot be read; the message names the damaged line.
        UnknownSpeaker: The cast names an unknown voice.
        TTSError: No backend is available, or the folder cannot be written to.
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
