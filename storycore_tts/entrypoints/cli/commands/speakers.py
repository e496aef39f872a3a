"""``storycore-tts speakers``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli import console, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import Backend, Reporting

if TYPE_CHECKING:
    from storycore_tts.domain.voices import Speaker
    from storycore_tts.settings import QwenTTSConfig


def speakers(backend: Backend, reporting: Reporting) -> None:
    """List the built-in voices of the backend.

    A table on a terminal; otherwise one voice a line: name, language and description, with tabs.
    """
    found = run_async(_ask(settings.load(backend).config))
    if reporting.as_json:
        console.answer_json([asdict(speaker) for speaker in found])
        return
    rows = [(speaker.name, speaker.language, speaker.description) for speaker in found]
    if console.stdout_is_terminal():
        console.answer_table(("Speaker", "Language", "Voice"), rows)
        return
    for row in rows:
        console.answer("\t".join(row))


async def _ask(config: QwenTTSConfig) -> list[Speaker]:
    from storycore_tts.container import open_tts

    async with open_tts(config) as tts:
        return await tts.speakers()
