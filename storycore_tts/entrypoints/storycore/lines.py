"""A line as the engine asks for it: a voice id, a pace and a pitch; and the file it becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path

from storycore_tts.adapters.engine.sheets import read_sheets
from storycore_tts.domain.casting import Character
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.languages import LANGUAGES, language_named
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.speech import Speech, write_whole
from storycore_tts.domain.voices import Speaker, gender_of
from storycore_tts.services.casting import Casting
from storycore_tts.services.output import AudioFolder
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.services.voices import VoiceEntry
from storycore_tts.services.voicing import Asked as Asked
from storycore_tts.services.voicing import request_for as request_for
from storycore_tts.services.voicing import request_in as request_in
from storycore_tts.settings import QwenTTSConfig, VoiceMapping
from storycore_tts.sound.ffmpeg import pyav
from storycore_tts.sound.pace import semitones

ANY_LANGUAGE = "auto"
UNKNOWN_GENDER = "unknown"
CAST_FILE = "cast.yaml"

OUTPUT = "output/tts"
"""Where files go while ``tts.qwen.output_dir`` says nothing: below what the engine serves."""


@dataclass(frozen=True)
class Written:
    """A file, its duration in seconds, and the speech before pace and pitch were changed."""

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


def casting(config: QwenTTSConfig) -> Casting:
    """Return the cast that the settings name; the same one for the same file."""
    return _casting_in(Path(config.cast or CAST_FILE).absolute())


@lru_cache(maxsize=64)
def _casting_in(file: Path) -> Casting:
    return Casting(file, sheets=_sheets)


def _sheets(folder: Path) -> list[Character]:
    """Read the sheets beside the cast, and those where the engine runs: data/ may hold the cast."""
    places = dict.fromkeys((folder, Path.cwd()))
    return [sheet for place in places for sheet in read_sheets(place)]


async def spoken_into(
    tts: TextToSpeech, request: SpeechRequest | CloneRequest, target: Path, form: Rendering
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


def _mapped(name: str, voice: VoiceMapping) -> dict[str, str]:
    return _voice(name, code_of(voice.language), gender_of(voice.speaker))


def _built_in(speaker: Speaker) -> dict[str, str]:
    return _voice(speaker.name, code_of(speaker.language), gender_of(speaker.name))


def _stored(entry: VoiceEntry) -> dict[str, str]:
    return _voice(entry.name, code_of(entry.language), "")


def _voice(name: str, language: str, gender: str) -> dict[str, str]:
    return {"id": name, "language": language, "gender": gender or UNKNOWN_GENDER}
