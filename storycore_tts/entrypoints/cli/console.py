"""What reaches the user: answers on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "storycore-tts"
_PIPED_WIDTH = 10_000  # columns; a table that nobody looks at is never wrapped


def never_choke_on_characters() -> None:
    """Escape what the terminal's encoding lacks (cp1252, latin-1) in place of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def answer(text: str) -> None:
    """Print a line of the result on stdout.

    Raises:
        OSError: stdout takes no more; its ``filename`` says "stdout".
    """
    try:
        print(text, flush=True)  # noqa: T201 - this is where the command line prints
    except OSError as error:
        _forget_stdout()
        raise OSError(error.errno, error.strerror, "stdout") from error


def answer_bytes(data: bytes) -> None:
    """Write the result itself on stdout.

    Raises:
        OSError: stdout takes no more; its ``filename`` says "stdout".
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        _forget_stdout()
        raise OSError(error.errno, error.strerror, "stdout") from error


def answer_json(value: object) -> None:
    """Print the result as one line of JSON, in ASCII, which every terminal takes."""
    answer(json.dumps(value))


def tell(text: str, *, end: str = "\n") -> None:
    """Print a line, or a part of one, for people on stderr; that nobody can read it ends no job."""
    if sys.stderr is None:  # closed by whoever started us; print would take stdout then
        return
    with suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - see above


def program() -> str:
    """Return how the user calls this program: its name where the shell finds it, else its path."""
    name = Path(sys.argv[0]).name
    if not name.startswith(PROGRAM):  # as a module, or called by another program
        return f"{_quoted(sys.executable)} -m storycore_tts_cli"
    if shutil.which(name) is not None:
        return PROGRAM
    path = Path(sys.argv[0]).absolute()
    folder = Path.cwd()
    return _quoted(str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path


def stdout_is_terminal() -> bool:
    """Tell whether a person looks at stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def stderr_is_terminal() -> bool:
    """Tell whether a person looks at stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def rich_console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, no emoji codes."""
    from rich.console import Console

    seen = stderr_is_terminal() if stderr else stdout_is_terminal()
    return Console(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if seen else _PIPED_WIDTH,
    )


def answer_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None
) -> None:
    """Print a table on stdout."""
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*row)
    console = rich_console()
    with console.capture() as captured:
        console.print(table)
    answer("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _forget_stdout() -> None:
    """Let nobody write to a closed pipe or a full disk again, not even the interpreter's exit."""
    with suppress(OSError, ValueError):  # a stream of no file, such as a test's
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
