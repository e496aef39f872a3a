"""Assembles the commands and runs them."""

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
    inspect,
    keys,
    ledger,
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
]  # since 0.26, typer bundles click and does not export it

# Plain help: importing rich would take longer than everything else.
app = typer.Typer(name=_PROGRAM, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.answer(f"{_PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Speech, voice cloning and training with Qwen3-TTS, through ComfyUI or other backends.

    The path of the result is printed to stdout, everything else to stderr. Exit status: 0 success;
    2 invalid usage or input, or no consent; 3 backend unavailable; 4 generation failed; 130
    interrupted.
    """


for _function in (
    say.say,
    clone.clone,
    train.train,
    speakers.speakers,
    cast.cast,
    doctor.doctor,
    inspect.inspect,
    demo.demo,
    standin.standin,
    serve.serve,
    migrate.migrate,
):
    add_command(app, _function)
app.add_typer(voices.app, name="voices")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.add_typer(storycore.app, name="storycore")


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status.

    Args:
        arguments: The arguments of the command line.
    """
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
        if signals is None or not signals.reported:
            console.tell("error: Interrupted.")
        return failures.INTERRUPTED
    return int(status or 0)
