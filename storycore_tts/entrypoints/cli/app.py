"""The commands put together, and the way in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from storycore_tts.__about__ import __version__
from storycore_tts.entrypoints.cli import console, failures
from storycore_tts.entrypoints.cli.commands import (
    cast,
    clone,
    demo,
    doctor,
    keys,
    migrate,
    say,
    serve,
    speakers,
    standin,
    storycore,
    train,
    voices,
)
from storycore_tts.entrypoints.cli.groups import add_command
from storycore_tts.entrypoints.cli.interrupts import heeded

_PROGRAM = console.PROGRAM
_UsageError: Any = typer.BadParameter.__mro__[
    1
]  # typer brings click along since 0.26, and hides it

# Plain help: rich's would take longer to import than everything else together.
app = typer.Typer(name=_PROGRAM, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.answer(f"{_PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Qwen3-TTS voices: speak, clone and train, through ComfyUI or as a draft.

    The result's path goes to stdout, everything else to stderr. Exit status: 0; 2 wrong use or
    input; 3 backend unavailable; 4 generation failed; 130 interrupted.
    """


for _function in (
    say.say,
    clone.clone,
    train.train,
    speakers.speakers,
    cast.cast,
    doctor.doctor,
    demo.demo,
    standin.standin,
    serve.serve,
    migrate.migrate,
):
    add_command(app, _function)
app.add_typer(voices.app, name="voices")
app.add_typer(keys.app, name="keys")
app.add_typer(storycore.app, name="storycore")


def run(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command; the exit status."""
    console.never_choke_on_characters()
    signals = None
    try:
        with heeded() as signals:
            status = typer.main.get_command(app).main(
                list(arguments), prog_name=_PROGRAM, standalone_mode=False
            )
    except _UsageError as error:
        error.show()
        if "--json" in arguments:
            console.answer_json(failures.wrong_use(error.format_message()))
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        if signals is None or not signals.told:
            console.tell("error: Interrupted.")
        return failures.INTERRUPTED
    return int(status or 0)
