"""Output: results on stdout, everything else on stderr."""

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
_PIPED_WIDTH = 10_000  # columns; tables are wrapped on terminals only


def never_choke_on_characters() -> None:
    """Escape characters that the terminal's encoding lacks (cp1252, latin-1)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def answer(text: str) -> None:
    """Print a line of the result to stdout.

    Args:
        text: The line.

    Raises:
        OSError: stdout cannot be written to; its ``filename`` is "stdout".
    """
    try:
        print(text, flush=True)  # noqa: T201 - this is where the command line prints
    except OSError as error:
        _forget_stdout()
        raise OSError(error.errno, error.strerror, "stdout") from error


def answer_bytes(data: bytes) -> None:
    """Write the result itself to stdout.

    Args:
        data: The bytes of the result.

    Raises:
        OSError: stdout cannot be written to; its ``filename`` is "stdout".
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        _forget_stdout()
        raise OSError(error.errno, error.strerror, "stdout") from error


def answer_json(value: object) -> None:
    """Print the result as one line of ASCII JSON, which every terminal supports."""
    answer(json.dumps(value))


def tell(text: str, *, end: str = "\n") -> None:
    """Print a message to stderr; errors are ignored, so that they end no job.

    Args:
        text: The message.
        end: What is printed after it.
    """
    if sys.stderr is None:  # closed by the parent process; print would use stdout
        return
    with suppress(OSError):
        print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201 - see above


def program() -> str:
    """Return how to call this program: its name if it is on the PATH, otherwise its path."""
    name = Path(sys.argv[0]).name
    if not name.startswith(PROGRAM):  # run as a module, or called by another program
        return f"{_quoted(sys.executable)} -m storycore_tts_cli"
    if shutil.which(name) is not None:
        return PROGRAM
    path = Path(sys.argv[0]).absolute()
    folder = Path.cwd()
    return _quoted(str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path


def stdout_is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def stderr_is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def rich_console(*, stderr: bool = False) -> Console:
    """Return a console that prints text literally, without markup or emoji codes."""
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
    """Print a table to stdout.

    Args:
        columns: Headers of the columns.
        rows: Cells of each row.
        title: Title of the table, or None.
    """
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*row)
    console = rich_console()
    with console.capture() as captured:
        console.print(table)
    answer("\n".join(line.rstrip() for line in captured.get().splitlines()))


def answer_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows to stdout: a table on a terminal; otherwise one row per line, with tabs.

    Args:
        columns: Headers of the columns.
        rows: Cells of each row.
    """
    if stdout_is_terminal():
        answer_table(columns, rows)
        return
    for row in rows:
        answer("\t".join(row))


def _forget_stdout() -> None:
    """Redirect stdout to the null device, so that the interpreter does not fail again at exit."""
    with suppress(OSError, ValueError):  # not a file, as in tests
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
