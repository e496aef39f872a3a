"""Whose voice a line is spoken in: a voice's id or name, or a character who is cast."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from storycore_tts.domain.casting import CastVoice, Character
from storycore_tts.domain.errors import InvalidRequest, UnknownSpeaker
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
from storycore_tts.services.casting import Casting, Part
from storycore_tts.services.speech import TextToSpeech

_DEAF = "is cloned from a recording, and speaks in its manner"


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


async def request_for(
    tts: TextToSpeech,
    text: str,
    voice: str,
    *,
    cast: Casting | None = None,
    **how: Any,
) -> Asked:
    """Return what is asked of a backend for a line in the voice of an id, or of a character.

    Args:
        tts: The service.
        text: What to say.
        voice: Such as "fr-FR-Denise", or the name of a built-in or stored voice; with a cast,
            anything else is a character's id or name.
        cast: Who speaks for characters; None: there are none, and an unknown name is a mistake.
        **how: See ``TextToSpeech.request_for``; a language goes above that of the voice.

    Raises:
        ConfigurationError: The cast is refused.
        UnknownSpeaker: The cast names a voice that is nowhere.
        InvalidRequest: Something in it is refused.
        StorageFailed: The stored voice is damaged.
    """
    if not isinstance(voice, str):
        raise InvalidRequest(f"A voice is a string, not {type(voice).__name__}.")
    speakable(text)  # a line that is refused gives no character a voice
    if cast is not None and await _is_character(tts, voice, cast):
        part = await part_of(tts, cast, Character(voice.strip()))
        if part.is_cast:  # what people write down may be a mistake
            await voice_that_is_there(tts, part, [one.name for one in await tts.speakers()])
        return await request_in(tts, part.voice, text, notes=part.notes, **how)
    choice = await _choice(tts, voice)
    return await request_in(tts, CastVoice(choice.speaker, language=choice.language), text, **how)


async def part_of(
    tts: TextToSpeech, cast: Casting, character: Character, *, near: Collection[str] = ()
) -> Part:
    """Return who speaks for a character; a new one is given a voice that is remembered.

    Args:
        tts: Knows which voices there are.
        cast: Who speaks for whom.
        character: Who, with what is known.
        near: Voices of other characters in the same scene.

    Raises:
        ConfigurationError: The cast is refused.
        BackendUnavailable: The backend's voices cannot be listed.
    """
    found = await asyncio.to_thread(cast.find, character)
    if found is not None:
        return found
    speakers = await tts.speakers()
    return await asyncio.to_thread(cast.assign, character, speakers, near=near)


async def voice_that_is_there(tts: TextToSpeech, part: Part, speakers: Sequence[str]) -> str:
    """Return the voice of a part, after a look whether there is such a voice.

    Args:
        tts: Knows the stored voices.
        part: Whose voice it is.
        speakers: The voices of the backend.

    Raises:
        UnknownSpeaker: There is none; the message names the character.
    """
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
        notes, said = (*notes, f"instruct was ignored: {voice.voice} {_DEAF}"), ""
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


async def _choice(tts: TextToSpeech, voice: str) -> VoiceChoice:
    mapped = dict(tts.defaults.voice_map)
    if await asyncio.to_thread(tts.voices.find, voice) is not None:
        mapped[voice] = VoiceChoice(voice)  # what people stored keeps its name
    return voice_choice(voice, mapped, default_speaker=tts.defaults.speaker)


async def _is_character(tts: TextToSpeech, voice: str, cast: Casting) -> bool:
    """Tell whether a name is a character's, and not that of a voice."""
    wanted = voice.strip()
    # A story may have its Nova or Echo: OpenAI's names are voices unless a character is cast.
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
