"""Reads dialogues of the engine as scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from storycore_tts.domain.casting import Character
from storycore_tts.domain.presets import THOUGHT, manner
from storycore_tts.domain.script import Line, Script
from storycore_tts.errors import InvalidRequest, shown


def read_dialogue(file: str | PathLike[str]) -> Script:
    """Read a dialogue of the engine; optional fields may be missing.

    Args:
        file: Path of the JSON file.

    Raises:
        InvalidRequest: The file cannot be read, or a line has no text or no character; the message
            names the line.
    """
    path = Path(file)
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"Cannot read the dialogue {path}: {error}.") from None
    if not isinstance(document, Mapping) or not isinstance(document.get("lines"), list):
        raise InvalidRequest(
            f"{path} is not a dialogue: it has no list of lines.",
            hint="StoryCore-Engine writes dialogues to data/dialogues/<scene_id>.json.",
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
