"""A line as the engine asks for it: a voice id, a pace and a pitch; and the file it becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

from storycore_tts.domain.casting import CastVoice, Character
from storycore_tts.domain.errors import InvalidRequest, StorageFailed
from storycore_tts.domain.ffmpeg import pyav
from storycore_tts.domain.languages import AUTO, LANGUAGES, language_named
from storycore_tts.domain.pace import semitones
from storycore_tts.domain.presets import manner
from storycore_tts.domain.rendering import Rendering
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.speech import Speech, write_whole
from storycore_tts.domain.stored_voices import name_key
from storycore_tts.domain.voice_ids import VoiceChoice, is_voice_id, voice_choice
from storycore_tts.domain.voices import Speaker, gender_of, is_built_in
from storycore_tts.entrypoints.storycore.sheets import read_sheets
from storycore_tts.services.casting import Casting, Part
from storycore_tts.services.output import AudioFolder
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.services.voices import VoiceEntry
from storycore_tts.settings import QwenTTSConfig, VoiceMapping

ANY_LANGUAGE = "auto"
UNKNOWN_GENDER = "unknown"


CAST_FILE = "cast.yaml"
DEAF = "is cloned from a recording, and speaks in its manner"


@dataclass(frozen=True)
class Asked:
    """What a backend is asked for, and what there is to say of the choice.

    Args:
        request: For ``TextToSpeech.speak``.
        speaker: The voice that was chosen.
        notes: For the warnings of the result: who speaks for a character that is not cast.
    """

    request: SpeechRequest | CloneRequest
    speaker: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """Speech in a file.

    Args:
        path: Where it is.
        duration: Of what is in the file, in seconds.
        speech: As it was spoken, before pace and pitch were changed.
    """

    path: Path
    duration: float
    speech: Speech


def rendering(
    output_path: str | PathLike[str] | None, *, speed: float = 1.0, pitch: float = 1.0
) -> Rendering:
    """Return what becomes of a line; refused before anything is spoken.

    Args:
        output_path: Its suffix decides on the format; None is a wav.
        speed: 0.25..4; 2 is twice as fast.
        pitch: 0.5..2; 2 is an octave up.

    Raises:
        InvalidRequest: A value out of its range, an unknown suffix, or an extra is missing.
    """
    suffix = ".wav" if output_path is None else Path(output_path).suffix.lower()
    found = Rendering(suffix.removeprefix("."), speed, semitones(pitch))
    if found.changes_samples:
        pyav("Another pace or pitch")
    return found


async def request_for(
    tts: TextToSpeech,
    voice_map: Mapping[str, VoiceMapping],
    text: str,
    voice: str,
    *,
    cast: Casting | None = None,
    **how: Any,
) -> Asked:
    """Return what is asked of a backend for a line in the voice of an id, or of a character.

    Args:
        tts: The service.
        voice_map: Ids that were given a voice.
        text: What to say.
        voice: Such as "fr-FR-Denise", or the name of a built-in or stored voice; with a cast,
            anything else is a character's id or name.
        cast: Who speaks for characters; None: there are none, and an unknown name is a mistake.
        **how: See ``TextToSpeech.request_for``; a language goes above that of the voice.

    Raises:
        ConfigurationError: The cast is refused.
        InvalidRequest: Something in it is refused.
        StorageFailed: The stored voice is damaged.
    """
    if not isinstance(voice, str):
        raise InvalidRequest(f"A voice is a string, not {type(voice).__name__}.")
    if cast is not None and await _is_character(tts, voice_map, voice, cast):
        part = await part_of(tts, cast, Character(voice.strip()))
        return await request_in(tts, part.voice, text, notes=part.notes, **how)
    choice = await _choice(tts, voice_map, voice)
    return await request_in(tts, CastVoice(choice.speaker, language=choice.language), text, **how)


async def part_of(
    tts: TextToSpeech, cast: Casting, character: Character, *, near: Collection[str] = ()
) -> Part:
    """Return who speaks for a character; somebody new is given a voice that is remembered.

    Args:
        tts: Knows which voices there are.
        cast: Who speaks for whom.
        character: Who, with what is known.
        near: Voices of those who speak in the same scene.

    Raises:
        ConfigurationError: The cast is refused.
        BackendUnavailable: Nobody could be asked for voices.
    """
    found = await asyncio.to_thread(cast.find, character)
    if found is not None:
        return found
    speakers = await tts.speakers()
    return await asyncio.to_thread(cast.assign, character, speakers, near=near)


async def request_in(
    tts: TextToSpeech,
    voice: CastVoice,
    text: str,
    *,
    language: str | None = None,
    instruct: str = "",
    notes: tuple[str, ...] = (),
    **how: Any,
) -> Asked:
    """Return what is asked of a backend for a line in a voice that is known.

    Args:
        tts: The service.
        voice: Who speaks.
        text: What to say.
        language: None or "Auto" for the voice's own.
        instruct: How to say it, besides the voice's own manner; a voice that is cloned from a
            recording does not listen, and the notes say so.
        notes: What is known already.
        **how: See ``TextToSpeech.request_for``.

    Raises:
        InvalidRequest: Something in it is refused.
        StorageFailed: The stored voice is damaged.
    """
    said = manner(voice.instruct, instruct)
    if said and voice.checkpoint is None and await _is_clone(tts, voice.voice):
        notes, said = (*notes, f"instruct was ignored: {voice.voice} {DEAF}"), ""
    if language is None or language == AUTO:
        language = voice.language
    request = await tts.request_for(
        text,
        speaker=voice.voice,
        checkpoint=voice.checkpoint,
        language=language,
        instruct=said,
        **how,
    )
    return Asked(request, voice.voice, notes)


def casting(config: QwenTTSConfig) -> Casting:
    """Return the cast that the settings name; the same one for the same file."""
    return _casting_in(Path(config.cast or CAST_FILE).absolute())


@lru_cache(maxsize=64)
def _casting_in(file: Path) -> Casting:
    return Casting(file, sheets=read_sheets)


async def spoken_into(
    tts: TextToSpeech,
    request: SpeechRequest | CloneRequest,
    target: Path,
    form: Rendering,
) -> Written:
    """Speak a line and write its file.

    Raises:
        StorageFailed: The disk refuses.
        TTSError: See ``TextToSpeech.speak``.
    """
    speech = await tts.speak(request)
    outcome = await asyncio.to_thread(form.applied, speech)
    await written(target, outcome.audio)
    return Written(target, float(outcome.facts["duration"]), speech)


async def written(target: Path, audio: bytes) -> None:
    """Write a sound file.

    Raises:
        StorageFailed: The disk refuses.
    """
    try:
        await asyncio.to_thread(write_whole, target, audio)
    except OSError as error:
        raise StorageFailed(f"Cannot write to {target}: {error.strerror}.") from error


async def listed(tts: TextToSpeech, voice_map: Mapping[str, VoiceMapping]) -> list[dict[str, str]]:
    """List the voices of the backend, the stored ones and the mapped ids as the engine does.

    Each has an ``id``, a ``language`` ("fr"; "auto" where it is not known) and a ``gender``
    ("female", "male", "unknown").

    Raises:
        BackendUnavailable: Nobody could be asked.
    """
    speakers = await tts.speakers()
    entries = await asyncio.to_thread(tts.voices.entries)
    return [
        *(_mapped(name, voice) for name, voice in voice_map.items()),
        *map(_built_in, speakers),
        *(_stored(entry) for entry in entries if not entry.problem),
    ]


def code_of(language: str | None) -> str:
    """Return the code of a language ("fr"), or "auto"."""
    return LANGUAGES.get(language_named(language), ANY_LANGUAGE) if language else ANY_LANGUAGE


def folder(wanted: str | PathLike[str] | None) -> AudioFolder:
    """Return where files without a name of their own go; None: a fresh temporary folder."""
    return AudioFolder(None if wanted is None else Path(wanted))


async def _choice(
    tts: TextToSpeech, voice_map: Mapping[str, VoiceMapping], voice: str
) -> VoiceChoice:
    mapped = {name: VoiceChoice(one.speaker, one.language) for name, one in voice_map.items()}
    if await asyncio.to_thread(tts.voices.find, voice) is not None:
        mapped = {voice: VoiceChoice(voice), **mapped}  # what is mapped has the last word
    return voice_choice(voice, mapped, default_speaker=tts.defaults.speaker)


async def _is_character(
    tts: TextToSpeech, voice_map: Mapping[str, VoiceMapping], voice: str, cast: Casting
) -> bool:
    """Tell whether a name is a character's: a voice keeps its name, and whoever is known theirs."""
    wanted = voice.strip()
    mapped = {name.casefold() for name in voice_map}
    if not wanted or wanted.casefold() in mapped or is_built_in(wanted):
        return False
    if await asyncio.to_thread(tts.voices.find, wanted) is not None:
        return False
    if await asyncio.to_thread(cast.knows, wanted):
        return True
    if is_voice_id(wanted):
        return False
    return name_key(wanted) not in {name_key(one.name) for one in await tts.speakers()}


async def _is_clone(tts: TextToSpeech, name: str) -> bool:
    if is_built_in(name):
        return False
    stored = await asyncio.to_thread(tts.voices.find, name)
    return stored is not None and stored.kind == "clone"


def _mapped(name: str, voice: VoiceMapping) -> dict[str, str]:
    return _voice(name, code_of(voice.language), gender_of(voice.speaker))


def _built_in(speaker: Speaker) -> dict[str, str]:
    return _voice(speaker.name, code_of(speaker.language), gender_of(speaker.name))


def _stored(entry: VoiceEntry) -> dict[str, str]:
    return _voice(entry.name, code_of(entry.language), "")


def _voice(name: str, language: str, gender: str) -> dict[str, str]:
    return {"id": name, "language": language, "gender": gender or UNKNOWN_GENDER}
