"""``storycore-tts inspect``."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from storycore_tts.entrypoints.cli import console, failures, inputs, settings
from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.entrypoints.cli.options import Reporting, Settings
from storycore_tts.errors import InvalidRequest, RecordingTooLarge
from storycore_tts.sound.tags import VOCABULARY

if TYPE_CHECKING:
    from storycore_tts.services.inspection import Inspection
    from storycore_tts.settings import QwenTTSConfig

_MOST_BYTES = 256 * 2**20
_MOST_SECONDS = 600.0  # in which a watermark is looked for
_NOTHING_FOUND = 1

_STATUSES = {
    "synthetic": 0,
    "recording": _NOTHING_FOUND,
    "nothing": _NOTHING_FOUND,
    "unchecked": failures.UNAVAILABLE,
    "contradictory": failures.CONTRADICTED,
    "broken": failures.CONTRADICTED,
}


def inspect(
    file: Annotated[
        str, Argument(metavar="FILE", help='A sound file of any program; "-" is stdin.')
    ],
    own: Settings,
    reporting: Reporting,
) -> int:
    """Show what a sound file says of itself, and whether that holds.

    Reads tags, signatures (with the extra trust) and watermarks (with the extra watermark). The
    first line is the verdict.

    The exit status is 0 if the file is marked as synthetic and nothing contradicts that, 1 if no
    such mark was found, 2 if it is not a sound file, 3 if it has a signature that cannot be
    checked, and 5 if its signature is broken or its marks contradict each other.
    """
    from storycore_tts.services.inspection import to_json

    found = run_async(_inspected(settings.load(own).config, _contents(file)))
    if reporting.as_json:
        console.answer_json({"file": file, **to_json(found)})
    else:
        console.answer(found.sentence)
        for name, value in _rows(to_json(found)):
            console.answer(f"  {name:<14} {value.removeprefix(VOCABULARY)}")
    return _STATUSES[found.verdict.value]


async def _inspected(config: QwenTTSConfig, data: bytes) -> Inspection:
    from storycore_tts.adapters.audio_intake import IntakeLimits, RecordingReader
    from storycore_tts.service_container import make_inspector

    limits = IntakeLimits(max_bytes=_MOST_BYTES, max_seconds=_MOST_SECONDS, memory=4 * _MOST_BYTES)
    async with aclosing(RecordingReader(limits)) as reader:
        return await make_inspector(lambda: config, reader.samples, max_bytes=_MOST_BYTES).inspect(
            data
        )


def _contents(file: str) -> bytes:
    if file == inputs.STDIN:
        if sys.stdin is None:
            raise InvalidRequest("Cannot read the file from stdin, which is closed.")
        return sys.stdin.buffer.read(_MOST_BYTES + 1)
    with inputs.readable(file):
        found = Path(file).stat()
        if not stat.S_ISREG(found.st_mode):
            what = "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
            raise InvalidRequest(f"{file} {what}.", hint="Name a sound file, or - for stdin.")
        if found.st_size > _MOST_BYTES:
            raise RecordingTooLarge(
                f"{file} has {found.st_size} bytes; the maximum is {_MOST_BYTES}."
            )
        return Path(file).read_bytes()


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is shown below the verdict."""
    tags, signature, watermark = found["tags"], found["signature"], found["watermark"]
    for name in ("source_type", "generator", "created", "model", "job"):
        if tags[name]:
            yield name.replace("_", " "), tags[name]
    yield "signature", signature["reason"] or _state(signature)
    for name in ("signed_by", "issuer", "signed_at", "generator", "source_type", "model"):
        if signature[name]:
            yield f"  {name.replace('_', ' ')}", signature[name]
    for name in ("actions", "ingredients"):
        if signature[name]:
            yield f"  {name}", "; ".join(signature[name])
    for problem in signature["problems"]:
        yield "  problem", f"{problem['sentence']} ({problem['code']})"
    yield "watermark", _heard(watermark)


def _state(signature: dict[str, Any]) -> str:
    if signature["state"] == "broken":
        return "BROKEN"
    return f"{signature['state']}{', trusted' if signature['trusted'] else ''}"


def _heard(watermark: dict[str, Any]) -> str:
    if watermark["score"] is None:
        return f"not checked: {watermark['reason']}"
    return f"{watermark['state']} (score {watermark['score']:.2f}, {watermark['detector']})"
