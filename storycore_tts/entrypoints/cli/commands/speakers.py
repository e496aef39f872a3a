"""``storycore-tts speakers``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli import console, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import BackendFlags, Reporting
from storycore_tts.errors import BackendUnavailable

_NOT_CONFIRMED = "Showing the nine voices of the Qwen3-TTS models; the server may have others."

if TYPE_CHECKING:
    from storycore_tts.domain.voices import Speaker
    from storycore_tts.services.voices import VoiceEntry
    from storycore_tts.settings import QwenTTSConfig


def speakers(backend: BackendFlags, reporting: Reporting) -> None:
    """List the built-in voices of the backend and stored voices.

    Prints a table on a terminal, otherwise tab-separated lines: name, language and description. If
    the backend does not respond, lists the nine voices of the model with a warning.
    """
    built_in, stored, missing = run_async(_ask(settings.load(backend).config))
    if missing is not None:
        console.tell(f"warning: {missing.message} {_NOT_CONFIRMED}")
    kind = "built-in" if missing is None else "built-in, not confirmed"
    if reporting.as_json:
        console.answer_json(
            [{**asdict(speaker), "kind": kind} for speaker in built_in]
            + [{**_as_speaker(entry), "kind": entry.kind} for entry in stored]
        )
        return
    voices = [*map(asdict, built_in), *map(_as_speaker, stored)]
    rows = [(voice["name"], voice["language"], voice["description"]) for voice in voices]
    console.answer_rows(("Speaker", "Language", "Voice"), rows)


async def _ask(
    config: QwenTTSConfig,
) -> tuple[list[Speaker], list[VoiceEntry], BackendUnavailable | None]:
    import asyncio

    from storycore_tts.container import open_tts
    from storycore_tts.domain.voices import built_in_speakers

    once = config.retry.model_copy(update={"attempts": 1})
    missing = None
    async with open_tts(config.model_copy(update={"retry": once, "fallback": None})) as tts:
        entries = await asyncio.to_thread(tts.voices.entries)
        try:
            built_in = await tts.speakers()
        except BackendUnavailable as error:
            built_in, missing = built_in_speakers(), error
    return built_in, [entry for entry in entries if not entry.problem], missing


def _as_speaker(entry: VoiceEntry) -> dict[str, str]:
    return {
        "name": entry.name,
        "description": f"stored voice ({entry.kind})",
        "language": entry.language or "",
    }
