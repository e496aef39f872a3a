"""The console script; it handles signals before anything else is imported.

It is outside of ``storycore_tts``, so that importing it does not load that package.
"""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130


def main() -> int:
    """Run the command line ``storycore-tts``.

    Before and after a command, a signal ends the process immediately, since there is nothing to
    clean up. During a command, the command line installs its own handlers.

    Returns:
        The exit status.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from storycore_tts.entrypoints.cli import main as run

    return run()


def _leave(number: int, frame: object) -> None:
    try:  # noqa: SIM105 - avoids importing contextlib
        os.write(2, b"error: Interrupted.\n")
    except OSError:  # closed
        pass
    os._exit(_INTERRUPTED)
