"""``storycore-tts cast``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from storycore_tts.entrypoints.cli import console, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import BackendFlags, Reporting

if TYPE_CHECKING:
    from storycore_tts.services.casting import Casting, Part
    from storycore_tts.settings import QwenTTSConfig

_COLUMNS = ("Character", "Id", "Voice", "Language", "Manner", "From")


@dataclass(frozen=True)
class _Row:
    character: str
    id: str
    voice: str
    language: str
    manner: str
    source: str


def cast(
    *,
    write: Annotated[
        bool,
        Option("--write", help="Add characters without an entry to the file, as shown."),
    ] = False,
    backend: BackendFlags,
    reporting: Reporting,
) -> None:
    """Show the voices of the characters of a project.

    Characters come from tts.qwen.cast (cast.yaml in the working folder) and from StoryCore-Engine's
    character sheets in the same folder. For characters without an entry in the cast, shows the
    voice assigned earlier, or the one that would be assigned now. Prints a table on a terminal,
    otherwise tab-separated lines.
    """
    config = settings.load(backend).config
    casting, parts = run_async(_parts(config))
    if write:
        added = casting.write_down([part for part in parts if not part.is_cast])
        console.tell(f"{len(added)} added to {casting.file}" if added else "nothing to add")
        parts = [part for part in (casting.find(one.character) for one in parts) if part]
    rows = [_row(casting, part) for part in parts]
    if reporting.as_json:
        console.answer_json([asdict(row) for row in rows])
        return
    if not rows:
        console.tell(f"no characters found in {casting.file} or in character sheets")
    cells = [tuple(asdict(row).values()) for row in rows]
    console.answer_rows(_COLUMNS, cells)


async def _parts(config: QwenTTSConfig) -> tuple[Casting, list[Part]]:
    """Return the parts of all characters; queries the backend only to propose missing voices."""
    import asyncio

    from storycore_tts.container import open_tts
    from storycore_tts.entrypoints.storycore.lines import casting

    found = casting(config)
    people = await asyncio.to_thread(found.everybody)
    parts = [await asyncio.to_thread(found.find, one) for one in people]
    if any(part is None for part in parts):
        async with open_tts(config) as tts:
            speakers = await tts.speakers()
        parts = list(await asyncio.to_thread(found.proposed, people, speakers))
    return found, [part for part in parts if part is not None]


def _row(casting: Casting, part: Part) -> _Row:
    voice = part.voice
    known = casting.find(part.character)
    source = casting.file.name if part.is_cast else "assigned" if known else "proposed"
    named = f"{voice.voice} ({Path(voice.checkpoint).name})" if voice.checkpoint else voice.voice
    return _Row(
        part.character.called,
        part.character.id,
        named,
        voice.language or "",
        voice.instruct,
        source,
    )
