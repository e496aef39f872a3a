"""The console script: a signal is heeded before anything else is imported.

It stands outside ``storycore_tts`` so that its own import loads nothing of that package.
"""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130


def main() -> int:
    """Run the command line ``storycore-tts``.

    While packages load, and once the command is done, nothing is under way that could be left
    behind: a signal then ends the process at once. In between, the command line has handlers of
    its own.

    Returns:
        The exit status.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from storycore_tts.entrypoints.cli import main as run

    return run()


def _leave(number: int, frame: object) -> None:
    try:  # noqa: SIM105 - contextlib would be one import more
        os.write(2, b"error: Interrupted.\n")
    except OSError:  # closed
        pass
    os._exit(_INTERRUPTED)
