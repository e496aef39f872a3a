"""``storycore-tts keys``."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from storycore_tts.domain.keys import hashed, new_key
from storycore_tts.entrypoints.cli import console
from storycore_tts.entrypoints.cli.groups import add_command
from storycore_tts.entrypoints.cli.options import Reporting
from storycore_tts.errors import InvalidRequest, shown

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

app = typer.Typer(help="API keys of the service.", no_args_is_help=True, rich_markup_mode=None)


def new(
    owner: Annotated[str, typer.Argument(metavar="NAME", help="Owner of the key.")],
    reporting: Reporting,
) -> int:
    """Create an API key and print the setting that accepts it.

    The key is shown only once; the settings contain its SHA-256 hash.
    """
    if not _OWNER.fullmatch(owner):
        raise InvalidRequest(
            f"{shown(owner)} is not a valid owner name.",
            hint="Use up to 64 letters, digits, hyphens and underscores.",
        )
    key = new_key()
    if reporting.as_json:
        console.answer_json({"owner": owner, "key": key, "sha256": hashed(key)})
        return 0
    console.answer(key)
    console.tell("The key is not shown again. Add this to the settings:")
    console.tell(f"tts:\n  qwen:\n    server:\n      api_keys:\n        {owner}: {hashed(key)}")
    return 0


add_command(app, new)
