"""The command line ``storycore-tts``.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once: the modules
here import typer and the standard library only, and what a command needs within the command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None for those of the process.

    Returns:
        The exit status: 0; 1 a bug; 2 wrong use or input; 3 backend unavailable; 4 generation
        failed; 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:  # before typer is imported, which takes the most time
        return _version()
    from storycore_tts.entrypoints.cli.app import run

    return run(arguments)


def _version() -> int:
    from storycore_tts.__about__ import __version__
    from storycore_tts.entrypoints.cli import console
    from storycore_tts.entrypoints.cli.interrupts import INTERRUPTED, heeded

    try:
        with heeded():
            console.answer(f"{console.PROGRAM} {__version__}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
