"""Chooses the voice for a line, from a voice id, a voice name or a character."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from storycore_tts.domain.casting import CastVoice, Character
from storycore_tts.domain.languages import AUTO
from storycore_tts.domain.presets import manner
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.stored_voices import name_key
from storycore_tts.domain.text import speakable
from storycore_tts.domain.voice_ids import (
    OPENAI_VOICES,
    VoiceChoice,
    is_voice_id,
    voice_choice,
)
from storycore_tts.domain.voices import find_speaker, is_built_in
from storycore_tts.errors import ConsentRefused, InvalidRequest, UnknownSpeaker
from storycore_tts.services.casting import Casting, Part
from storycore_tts.services.speech import TextToSpeech

_NO_INSTRUCT = "is cloned from a recording, and clones do not support it"


@dataclass(frozen=True)
class VoicedRequest:
    """A request for a backend, and notes on the choice of the voice.

    Args:
        request: For ``TextToSpeech.speak``.
        speaker: Name of the chosen voice.
        notes: Additional warnings for the result, such as a voice assigned automatically.
    """

    request: SpeechRequest | CloneRequest
    speaker: str
    notes: tuple[str, ...] = ()


async def request_for(
    tts: TextToSpeech,
    text: str,
    voice: str,
    *,
    cast: Casting | None = None,
    **how: Any,
) -> VoicedRequest:
    """Return the request for a line in the voice of a voice id or a character.

    Args:
        tts: The service.
        text: The text to speak.
        voice: A voice id such as "fr-FR-Denise", or the name of a built-in or stored voice; with a
            cast, anything else is the id or name of a character.
        cast: Voices of characters; None: ``voice`` cannot be a character.
        **how: See ``TextToSpeech.request_for``; a language overrides that of the voice.

    Raises:
        ConfigurationError: The cast is invalid.
        UnknownSpeaker: The cast names a voice that does not exist.
        InvalidRequest: The request is invalid.
        StorageFailed: The stored voice is damaged.
    """
    if not isinstance(voice, str):
        raise InvalidRequest(f"A voice must be a string, not {type(voice).__name__}.")
    speakable(text)  # checked first, so that an invalid line does not assign a voice
    if cast is not None and await _is_character(tts, voice, cast):
        part = await part_of(tts, cast, Character(voice.strip()))
        if part.is_cast:  # an entry in the cast file may be wrong
            await voice_that_is_there(tts, part, [one.name for one in await tts.speakers()])
        return await request_in(tts, part.voice, text, notes=part.notes, **how)
    choice = await _choice(tts, voice)
    return await request_in(tts, CastVoice(choice.speaker, language=choice.language), text, **how)


async def part_of(
    tts: TextToSpeech, cast: Casting, character: Character, *, near: Collection[str] = ()
) -> Part:
    """Return the part of a character; assign and remember a voice for a new one.

    Args:
        tts: Provides the available voices.
        cast: The cast.
        character: The character.
        near: Voices of the other characters in the same scene.

    Raises:
        ConfigurationError: The cast is invalid.
        BackendUnavailable: The voices could not be listed.
    """
    found = await asyncio.to_thread(cast.find, character)
    if found is not None:
        return found
    speakers = await tts.speakers()
    return await asyncio.to_thread(cast.assign, character, speakers, near=near)


async def voice_that_is_there(tts: TextToSpeech, part: Part, speakers: Sequence[str]) -> str:
    """Return the voice of a part, after a check that it exists.

    Args:
        tts: Provides the stored voices.
        part: The part.
        speakers: The voices of the backend.

    Raises:
        UnknownSpeaker: The voice does not exist; the message names the character.
    """
    voice = part.voice
    if voice.checkpoint is not None:
        return voice.voice
    try:
        if await asyncio.to_thread(tts.voices.find, voice.voice) is not None:
            return voice.voice
    except ConsentRefused:  # it was revoked: its lines are refused one by one
        return voice.voice
    try:
        return find_speaker(voice.voice, speakers, backend=tts.backend)
    except UnknownSpeaker as error:
        error.message = f"The voice of {part.character.called} does not exist: {error.message}"
        raise


async def request_in(
    tts: TextToSpeech,
    voice: CastVoice,
    text: str,
    *,
    language: str | None = None,
    instruct: str = "",
    notes: tuple[str, ...] = (),
    **how: Any,
) -> VoicedRequest:
    """Return the request for a line in a given voice.

    Args:
        tts: The service.
        voice: The voice.
        text: The text to speak.
        language: A language; None or "Auto": that of the voice.
        instruct: How to speak it, in addition to the manner of the voice; ignored for clones, with
            a note.
        notes: Notes to include.
        **how: See ``TextToSpeech.request_for``.

    Raises:
        InvalidRequest: The request is invalid.
        StorageFailed: The stored voice is damaged.
    """
    said = manner(voice.instruct, instruct)
    if said and voice.checkpoint is None and await _is_clone(tts, voice.voice):
        notes, said = (*notes, f"instruct was ignored: {voice.voice} {_NO_INSTRUCT}"), ""
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
    return VoicedRequest(request, voice.voice, notes)


async def _choice(tts: TextToSpeech, voice: str) -> VoiceChoice:
    mapped = dict(tts.defaults.voice_map)
    if await asyncio.to_thread(tts.voices.find, voice) is not None:
        mapped[voice] = VoiceChoice(voice)  # stored voices override mappings
    return voice_choice(voice, mapped, default_speaker=tts.defaults.speaker)


async def _is_character(tts: TextToSpeech, voice: str, cast: Casting) -> bool:
    """Return whether a name is a character's; mapped, built-in and stored voices come first."""
    wanted = voice.strip()
    # A character may be called Nova or Echo: OpenAI's voice names count only if none is cast.
    mapped = {name.casefold() for name in tts.defaults.voice_map} - set(OPENAI_VOICES)
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
