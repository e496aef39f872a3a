"""Prepares a scene: voices for its characters and requests for its lines."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from storycore_tts.domain.script import NotSpoken, Script
from storycore_tts.errors import TTSError
from storycore_tts.services.casting import Casting, Part
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.services.takes import Planned
from storycore_tts.services.voicing import part_of, request_in, voice_that_is_there


async def parts_of(
    tts: TextToSpeech, cast: Casting, script: Script
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Return the parts of a scene by character id, and notes on shared voices.

    Characters without a voice get one that is unused in this scene, if possible.

    Args:
        tts: The service.
        cast: The cast; assigned voices are remembered there.
        script: The scene.

    Raises:
        ConfigurationError: The cast is invalid.
        UnknownSpeaker: The cast names a voice that does not exist.
        BackendUnavailable: The voices could not be listed.
    """
    speakers = [one.name for one in await tts.speakers()]
    people = {line.character.id: line.character for line in script.lines}
    found = {who: await asyncio.to_thread(cast.find, one) for who, one in people.items()}
    parts = {who: part for who, part in found.items() if part is not None}
    for who in (who for who, part in found.items() if part is None):
        near = [part.voice.voice for part in parts.values()]
        parts[who] = await part_of(tts, cast, people[who], near=near)
    shared = defaultdict[str, list[str]](list)
    for part in parts.values():
        shared[await voice_that_is_there(tts, part, speakers)].append(part.character.called)
    return parts, tuple(
        f"{voice} speaks for {' and '.join(names)}" for voice, names in shared.items() if names[1:]
    )


async def planned(
    tts: TextToSpeech, script: Script, parts: Mapping[str, Part]
) -> tuple[list[Planned], list[NotSpoken]]:
    """Return the requests for the lines, and the lines for which no request can be made.

    Args:
        tts: The service.
        script: The scene.
        parts: Parts by character id, from ``parts_of``.
    """
    ready: list[Planned] = []
    failed: list[NotSpoken] = []
    for line in script.lines:
        part = parts[line.character.id]
        try:
            asked = await request_in(
                tts, part.voice, line.text, instruct=line.instruct, notes=part.notes
            )
        except TTSError as error:
            failed.append(NotSpoken(line, error))
        else:
            ready.append(Planned(line, asked.request, asked.speaker, asked.notes))
    return ready, failed
