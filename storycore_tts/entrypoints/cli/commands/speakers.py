"""``storycore-tts speakers``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli import console, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import Backend, Reporting

if TYPE_CHECKING:
    from storycore_tts.domain.voices import Speaker
    from storycore_tts.services.voices import VoiceEntry
    from storycore_tts.settings import QwenTTSConfig


def speakers(backend: Backend, reporting: Reporting) -> None:
    """List the built-in voices of the backend, and those that are stored.

    A table on a terminal; otherwise one voice a line: name, language and description, with tabs.
    """
    built_in, stored = run_async(_ask(settings.load(backend).config))
    if reporting.as_json:
        console.answer_json(
            [{**asdict(speaker), "kind": "built-in"} for speaker in built_in]
            + [{**_as_speaker(entry), "kind": entry.kind} for entry in stored]
        )
        return
    voices = [*map(asdict, built_in), *map(_as_speaker, stored)]
    rows = [(voice["name"], voice["language"], voice["description"]) for voice in voices]
    if console.stdout_is_terminal():
        console.answer_table(("Speaker", "Language", "Voice"), rows)
        return
    for row in rows:
        console.answer("\t".join(row))


async def _ask(config: QwenTTSConfig) -> tuple[list[Speaker], list[VoiceEntry]]:
    import asyncio

    from storycore_tts.container import open_tts

    async with open_tts(config) as tts:
        built_in = await tts.speakers()
        entries = await asyncio.to_thread(tts.voices.entries)
    return built_in, [entry for entry in entries if not entry.problem]


def _as_speaker(entry: VoiceEntry) -> dict[str, str]:
    return {
        "name": entry.name,
        "description": f"stored voice ({entry.kind})",
        "language": entry.language or "",
    }
