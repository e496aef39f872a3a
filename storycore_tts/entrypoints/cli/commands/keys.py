"""``storycore-tts keys``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from storycore_tts.domain.errors import InvalidRequest, shown
from storycore_tts.domain.keys import hashed, new_key
from storycore_tts.entrypoints.cli import console
from storycore_tts.entrypoints.cli.groups import add_command
from storycore_tts.entrypoints.cli.options import Reporting

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

app = typer.Typer(help="Keys of the service's users.", no_args_is_help=True, rich_markup_mode=None)


def new(
    owner: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    reporting: Reporting,
) -> int:
    """Make a key, and the line of the settings that lets it in.

    The key is shown this once; the settings hold its SHA-256 only.
    """
    if not _OWNER.fullmatch(owner):
        raise InvalidRequest(
            f"{shown(owner)} cannot own a key.",
            hint="Use up to 64 letters, digits, hyphens and underscores.",
        )
    key = new_key()
    if reporting.as_json:
        console.answer_json({"owner": owner, "key": key, "sha256": hashed(key)})
        return 0
    console.answer(key)
    console.tell("It is not shown again. Settings that let it in:")
    console.tell(f"tts:\n  qwen:\n    server:\n      api_keys:\n        {owner}: {hashed(key)}")
    return 0


add_command(app, new)
