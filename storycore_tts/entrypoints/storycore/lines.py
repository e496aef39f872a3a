"""Shared code of the engine's classes: lines as files, the cast, and lists of voices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from storycore_tts.adapters.engine.sheets import read_sheets
from storycore_tts.domain.casting import CastVoice, Character
from storycore_tts.domain.languages import LANGUAGES, language_named
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio
from storycore_tts.domain.sampling import SamplingOptions
from storycore_tts.domain.voices import Speaker, gender_of
from storycore_tts.entrypoints.sizes import SpeechBySize
from storycore_tts.services.casting import Casting
from storycore_tts.services.output import AudioFolder, VoiceResult, rendering
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.services.voices import VoiceEntry
from storycore_tts.services.voicing import VoicedRequest, request_for, request_in
from storycore_tts.settings import QwenTTSConfig, VoiceMapping

ANY_LANGUAGE = "auto"
UNKNOWN_GENDER = "unknown"
CAST_FILE = "cast.yaml"

OUTPUT = "output/tts"
"""Default of ``tts.qwen.output_dir``: a folder that the engine serves over HTTP."""


class SpeechFiles:
    """Generates lines into files; the engine's classes are thin wrappers around it.

    Args:
        speech: The services by model size.
        folder: Folder for files without a given name; None: a new temporary folder.
    """

    def __init__(self, speech: SpeechBySize, folder: str | PathLike[str] | None) -> None:
        self._speech = speech
        self._files = AudioFolder(None if folder is None else Path(folder))

    async def say(
        self,
        text: str,
        voice: str | CastVoice,
        output_path: str | PathLike[str] | None,
        *,
        stem: str = "voice",
        speed: float = 1.0,
        pitch: float = 1.0,
        with_cast: bool = True,
        sample_rate: int | None = None,
        **how: Any,
    ) -> VoiceResult:
        """Generate a line and write it to a file.

        Args:
            text: Text to speak.
            voice: A resolved voice, the name or id of a voice, or that of a character.
            output_path: File to write; None: a new .wav.
            stem: Prefix for the name of a new file.
            speed: 0.25..4; 2 is twice as fast, at the same pitch.
            pitch: 0.5..2; 2 is an octave up, at the same speed.
            with_cast: Whether an unknown name may be that of a character.
            sample_rate: Sample rate of the file, in Hz; None: that of the model.
            **how: See ``TextToSpeech.request_for``.

        Raises:
            TTSError: See ``voicing.request_for`` and ``AudioFolder.speak``.
        """
        form = rendering(output_path, speed=speed, pitch=pitch)
        tts = self._speech.tts()
        if isinstance(voice, CastVoice):
            asked = await request_in(tts, voice, text, **how)
        else:
            cast = casting(self._speech.config) if with_cast else None
            asked = await request_for(tts, text, voice, cast=cast, **how)
        result = await self._files.speak(
            tts, asked, output_path, stem=stem, form=form, sample_rate=sample_rate
        )
        return replace(result, notes=(*self._speech.warnings, *result.notes))

    async def clone(
        self,
        text: str,
        recording: str | PathLike[str],
        output_path: str | PathLike[str] | None,
        *,
        transcript: str | None = None,
        x_vector_only: bool = False,
        language: str | None = None,
        model_choice: str | None = None,
        sample_rate: int | None = None,
        consent: str = "",
        **sampling: Unpack[SamplingOptions],
    ) -> VoiceResult:
        """Generate a line with a voice cloned from a recording; see ``say``.

        Args:
            text: Text to speak.
            recording: Path of a local file.
            output_path: File to write; None: a new .wav.
            transcript: Verbatim transcript of the recording; None: clone the timbre only.
            x_vector_only: Clone the timbre only, even if there is a transcript.
            language: Language name, code or locale; None: the configured one.
            model_choice: "0.6B" or "1.7B"; None: the configured size.
            sample_rate: Sample rate of the file, in Hz; None: that of the model.
            consent: Who agreed to the use of the recording, and when, in words; "": not stated.
            **sampling: See ``SamplingOptions``.

        Raises:
            InvalidReferenceAudio: The recording cannot be read or cloned.
            TTSError: See ``AudioFolder.speak``.
        """
        config = self._speech.config
        request = CloneRequest(
            text,
            await asyncio.to_thread(ReferenceAudio.from_file, recording, transcript=transcript),
            x_vector_only=x_vector_only or transcript is None,
            language=language or config.default_language,
            sampling=config.generation.sampling(**sampling),
            consent=consent,
            strip_markup=config.strip_markup,
        )
        tts, asked = self._speech.tts(model_choice), VoicedRequest(request, "")
        result = await self._files.speak(
            tts, asked, output_path, stem="clone", sample_rate=sample_rate
        )
        return replace(result, notes=self._speech.warnings)


def casting(config: QwenTTSConfig) -> Casting:
    """Return the configured cast; the same object for the same file."""
    return _casting_in(Path(config.cast or CAST_FILE).absolute())


@lru_cache(maxsize=64)
def _casting_in(file: Path) -> Casting:
    return Casting(file, sheets=_sheets)


def _sheets(folder: Path) -> list[Character]:
    """Read the sheets next to the cast and in the working directory; the cast may be in data/."""
    places = dict.fromkeys((folder, Path.cwd()))
    return [sheet for place in places for sheet in read_sheets(place)]


async def listed(tts: TextToSpeech, voice_map: Mapping[str, VoiceMapping]) -> list[dict[str, str]]:
    """List the backend's voices, stored voices and mapped ids in the engine's format.

    Each has an ``id``, a ``language`` ("fr"; "auto" if unknown) and a ``gender`` ("female", "male",
    "unknown").

    Raises:
        BackendUnavailable: No backend is available.
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


def _mapped(name: str, voice: VoiceMapping) -> dict[str, str]:
    return _voice(name, code_of(voice.language), gender_of(voice.speaker))


def _built_in(speaker: Speaker) -> dict[str, str]:
    return _voice(speaker.name, code_of(speaker.language), gender_of(speaker.name))


def _stored(entry: VoiceEntry) -> dict[str, str]:
    return _voice(entry.name, code_of(entry.language), "")


def _voice(name: str, language: str, gender: str) -> dict[str, str]:
    return {"id": name, "language": language, "gender": gender or UNKNOWN_GENDER}
