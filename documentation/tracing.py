"""Run the command line, and record through which functions of ours it gets to what it does outside.

    python documentation/tracing.py steps.jsonl say "Hello." --out hello.wav

Each line of the file is one step: what was done (a request, an event, a row, a file), and the chain
of our functions that led to it, from the outermost one. A task continues the chain of the function
that started it. Needs Python 3.11, which knows a function's full name.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = str(Path(__file__).parents[1] / "storycore_tts") + "/"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}")

Chain = tuple[tuple[str, str], ...]  # (file, function), from the outermost one


def main(steps: str, *arguments: str) -> None:
    """Run the command line with these arguments."""
    with Path(steps).open("a", encoding="utf-8") as file:
        recorder = Recorder(lambda step: print(json.dumps(step), file=file, flush=True))
        threading.setprofile(recorder.look)
        sys.setprofile(recorder.look)
        from storycore_tts.entrypoints.cli import main as run

        sys.exit(run(list(arguments)))


class Recorder:
    """Looks at each call of a function, and tells of those that reach outside."""

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        self._started: dict[
            object, Chain
        ] = {}  # by a task's outermost frame, or a thread's function
        self._told: set[tuple[str, Chain]] = set()
        self._watched = {
            ("asyncio/base_events.py", "create_task"): self._task,
            ("asyncio/base_events.py", "run_in_executor"): self._thread,
            ("httpx/_client.py", "send"): lambda v: (
                f"{v['request'].method} {v['request'].url.path}"
            ),
            ("websockets/asyncio/client.py", "__init__"): _socket,
            ("sqlalchemy/engine/base.py", "execute"): _row,
            ("domain/events.py", "tell"): lambda v: f"event {type(v['event']).__name__}",
            ("draft/espeak.py", "speak"): lambda _: "espeak-ng speaks",
            ("soundfile.py", "write"): lambda _: "libsndfile encodes",
        }
        self._names = {name for _, name in self._watched}

    def look(self, frame: FrameType, event: str, _: object) -> None:
        """Be the profile function of a thread."""
        code = frame.f_code
        if event != "call" or code.co_name not in self._names:
            return
        for (file, name), label in self._watched.items():
            if name == code.co_name and code.co_filename.endswith(file):
                self._step(frame, label)

    def _step(self, frame: FrameType, label: Callable[[dict[str, Any]], str | None]) -> None:
        if label in (self._task, self._thread):
            label({**frame.f_locals, "chain": self._chain(frame)})
            return
        name = label(frame.f_locals)
        if name is None:
            return
        name, chain = _ID.sub("{id}", name), self._chain(frame)
        if chain and (name, chain) not in self._told:
            self._told.add((name, chain))
            self._tell({"step": name, "chain": chain})

    def _task(self, values: dict[str, Any]) -> None:
        self._started[getattr(values["coro"], "cr_frame", None)] = values["chain"]

    def _thread(self, values: dict[str, Any]) -> None:
        self._started[id(values["func"])] = values["chain"]

    def _chain(self, frame: FrameType | None) -> Chain:
        """Return our functions that are on the stack, and those that started this task."""
        found: list[tuple[str, str]] = []
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(PACKAGE) and not code.co_qualname.endswith(">"):
                function = (code.co_filename.removeprefix(PACKAGE), _plain(code.co_qualname))
                if found[-1:] != [function]:
                    found.append(function)
            above = self._started.get(frame)
            if code.co_name == "run" and code.co_filename.endswith("futures/thread.py"):
                above = self._started.get(id(frame.f_locals["self"].fn))
            if above is not None:
                return (*above, *reversed(found))
            frame = frame.f_back
        return tuple(reversed(found))


def _plain(name: str) -> str:
    return name.replace(".<locals>", "")


def _socket(values: dict[str, Any]) -> str | None:
    return "WebSocket /ws" if "uri" in values else None


def _row(values: dict[str, Any]) -> str | None:
    said = re.match(r"(INSERT INTO|UPDATE|DELETE FROM) (?:\w+\.)?(\w+)", str(values["statement"]))
    return f"{said[1]} {said[2]}" if said else None


if __name__ == "__main__":
    main(*sys.argv[1:])
