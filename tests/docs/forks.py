"""Runs programs in processes of their own that need not import everything anew.

``Forks`` starts one process, which imports what most programs need, and forks it for each program:
as separate as a process of its own, and some seconds faster. As a script, this is that process.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

IMPORTED = (
    "storycore_tts.entrypoints.cli",
    "storycore_tts.entrypoints.client",
    "storycore_tts.adapters.comfyui",
    "storycore_tts.adapters.draft",
    "storycore_tts.testing.comfyui",
    "storycore_tts.testing.contract",
    "pytest_asyncio",
    "aiohttp.web",
    "sqlalchemy",
    "fastapi",
    "av",
    "httpx",
    "rich.table",
    "soundfile",
    "yaml",
)


_LONGEST = 90  # s; a program that takes longer is killed


class Forks:
    """Programs as forks of one process. Close it with ``close``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(
        self, *arguments: str, folder: Path, path: tuple[str, ...] = (), **settings: str
    ) -> str:
        """Run a script or, after "-m", a module to its end, and return what it printed.

        Args:
            arguments: As for ``python``.
            folder: Where it runs.
            path: Folders that it can import from besides.
            settings: Its environment variables.
        """
        printed = folder / ".printed"
        order = {
            "arguments": arguments,
            "folder": str(folder),
            "path": path,
            "environment": {**environment(), **settings},
            "printed": str(printed),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline().strip()
        said = printed.read_text(encoding="utf-8")
        assert status == "0", f"{' '.join(arguments)} ended with {status}:\n{said}"
        return said

    def test(self, file: str, **how: Any) -> str:
        """Run the tests in a file; see ``run``. Of pytest's plugins, those that they need load."""
        plugins = ("-p", "pytest_asyncio.plugin", "-p", "storycore_tts.testing.pytest_plugin")
        options = ("-q", "-p", "no:cacheprovider", *plugins, file)
        return self.run("-m", "pytest", *options, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **how)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def environment() -> dict[str, str]:
    """Return this process's environment without settings of ours."""
    ours = {name: text for name, text in os.environ.items() if "STORYCORE_TTS_" not in name}
    return {**ours, "PYTHONUTF8": "1"}


def _serve() -> None:
    for module in IMPORTED:
        try:
            import_module(module)
        except ImportError:  # of an extra that is not installed
            continue
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.alarm(_LONGEST)
            os._exit(_run(**json.loads(line)))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(
    arguments: list[str], folder: str, path: list[str], environment: dict[str, str], printed: str
) -> int:
    """Be the program."""
    with Path(printed).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    by_name = arguments[0] == "-m"
    sys.argv = arguments[1:] if by_name else arguments
    sys.path[:0] = [*path, folder]
    status = 0
    try:
        if by_name:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 — whatever ends a program is its last word
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    _serve()
