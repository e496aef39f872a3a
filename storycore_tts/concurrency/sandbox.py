"""Child processes that read untrusted files: how they start, and the rights that they give up.

Imports the standard library only: the child that decodes recordings loads this file by its path.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_NEEDED = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # variables for the start


def command(script: Path, *arguments: object) -> list[str]:
    """Return the command that runs a script in isolation.

    Args:
        script: The script.
        arguments: Its arguments; the entries of ``sys.path`` follow them.
    """
    paths = [str(Path(path).absolute()) for path in sys.path if path]
    # -I ignores PYTHON… variables and the working directory; -S disables .pth files.
    return [sys.executable, "-I", "-S", "-B", str(script), *map(str, arguments), *paths]


def environment() -> dict[str, str]:
    """Return the environment variables that the child needs to start."""
    return {name: os.environ[name] for name in _NEEDED if name in os.environ}


def folder() -> str:
    """Return a working directory that the child cannot use relative paths in: the root."""
    return Path(sys.executable).anchor


def give_up_rights(memory: int, cpu_seconds: int) -> None:
    """Limit this process, once and for all, to what reading a file from stdin needs.

    Args:
        memory: Maximum address space in bytes.
        cpu_seconds: Maximum CPU time in seconds.
    """
    if sys.platform == "win32":  # Windows has no such limits
        return
    import resource

    wanted = {
        "RLIMIT_AS": (memory, memory),
        "RLIMIT_CPU": (cpu_seconds, cpu_seconds + 1),  # SIGXCPU, which names the cause; SIGKILL
        "RLIMIT_NOFILE": (3, 3),  # the three open ones; no further files or sockets
        "RLIMIT_NPROC": (0, 0),
        "RLIMIT_FSIZE": (0, 0),
        "RLIMIT_CORE": (0, 0),
    }
    for name, limit in wanted.items():
        with suppress(AttributeError, ValueError, OSError):  # not available on every system
            resource.setrlimit(getattr(resource, name), limit)
