"""Reads the engine's character sheets, leniently."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from storycore_tts.domain.casting import Character, gender_of_character
from storycore_tts.domain.languages import AUTO, language_named
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.voice_ids import gender_named
from storycore_tts.errors import UnsupportedLanguage

_log = logging.getLogger(__name__)

# Files in which the engine's wizards, builders and pages store characters.
_PLACES = (
    "characters/*.json",
    "data/characters/*.json",
    "assets/characters/*.json",
    "characters.json",
    "character_definitions.json",
    "project.json",
    "scenario.json",
)
_PROSE = ("description", "visual_description", "description_visuelle", "histoire")
_LISTS = ("characters", "character_definitions", "personnages")


def read_sheets(folder: Path) -> list[Character]:
    """Return the characters of a project, or of all projects in the engine's folder.

    If two sheets of a project have the same id, the first one is used. If several projects use an
    id for different characters, these are identified by name only. Damaged sheets are logged as
    warnings and skipped.

    Args:
        folder: Folder of a project or of the engine.
    """
    found = _of_project(folder)
    others: dict[str, set[Character]] = {}
    for project in sorted(folder.glob("projects/*/")):
        for own_id, character in _of_project(project).items():
            others.setdefault(own_id, set()).add(character)
    for own_id, characters in others.items():
        if len(characters) == 1:
            found.setdefault(own_id, *characters)
            continue
        log_event(_log, logging.WARNING, "sheet.ambiguous", character=own_id)
        for character in sorted(characters, key=lambda one: one.name):
            if character.name:
                found.setdefault(character.name, replace(character, id=character.name))
    return list(found.values())


def _of_project(folder: Path) -> dict[str, Character]:
    found: dict[str, Character] = {}
    for file in (file for place in _PLACES for file in sorted(folder.glob(place))):
        try:
            document = json.loads(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            kind = type(error).__name__
            log_event(_log, logging.WARNING, "sheet.damaged", file=str(file), error=kind)
            continue
        for sheet in _sheets(document):
            if character := _character(sheet):
                found.setdefault(character.id, character)
    return found


def _sheets(document: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the sheets of a file, which is a sheet, a list of sheets, or contains such a list."""
    if isinstance(document, Mapping):
        listed = [document[key] for key in _LISTS if isinstance(document.get(key), list)]
        document = [sheet for sheets in listed for sheet in sheets] if listed else [document]
    for sheet in document if isinstance(document, list) else ():
        if isinstance(sheet, Mapping):
            yield sheet


def _character(sheet: Mapping[str, Any]) -> Character | None:
    name = _said(sheet, "name") or _said(sheet, "nom")
    own_id = _said(sheet, "character_id") or (_said(sheet, "id") if name else "") or name
    if not own_id:
        return None
    looks, voice = (_part(sheet, key) for key in ("visual_identity", "voice_identity"))
    prose = " ".join(_said(sheet, key) for key in _PROSE)
    said = _said(sheet, "gender") or _said(looks, "gender")
    return Character(
        id=own_id,
        name=name,
        gender=gender_named(said) if said else gender_of_character(prose),
        age=_said(sheet, "age") or _said(sheet, "age_group") or _said(looks, "age_range"),
        description=_said(voice, "voice_type") or _said(sheet, "voice_inflection"),
        accent=f"{_said(voice, 'accent')} {_said(voice, 'dialect')}".strip(),
        language=_language(_said(voice, "language") or _said(sheet, "language")),
    )


def _part(sheet: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = sheet.get(key)
    return part if isinstance(part, Mapping) else {}


def _said(part: Mapping[str, Any], key: str) -> str:
    value = part.get(key)
    is_said = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value).strip() if is_said else ""


def _language(said: str) -> str | None:
    with suppress(UnsupportedLanguage):
        found = language_named(said)
        return None if found == AUTO else found
    return None
