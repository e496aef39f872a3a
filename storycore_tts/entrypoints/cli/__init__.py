"""The command line ``storycore-tts``.

For fast start-up, the modules here import only typer and the standard library; commands import
everything else when they run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program name; None: those of the process.

    Returns:
        The exit status: 0 success; 1 bug; 2 invalid usage or input; 3 backend unavailable;
        4 generation failed; 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:  # avoids the slow import of typer
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
