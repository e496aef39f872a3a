"""Write TRACES.md: which functions a line, a cancel, an outage and a kill -9 pass through.

    python documentation/make_traces.py            # writes documentation/TRACES.md
    python documentation/make_traces.py --check    # exit status 1 if it would change

Each trace is recorded (see tracing.py) while the real command line runs against the stand-in.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx

from storycore_tts.testing.comfyui import StandInComfyUI

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "documentation" / "TRACES.md"
_TRACING = str(ROOT / "documentation" / "tracing.py")
_LINE = "Hello, this is a test."
_BODY = {"input": _LINE, "voice": "Ryan", "response_format": "wav"}
_HEAD = """# Call traces

What calls what, function by function, in four cases. `python documentation/make_traces.py` records
this page while the command line runs against the stand-in ComfyUI; a test holds it to the code.

A step is something that leaves the package: a request to ComfyUI, a row in the job database, an
event for listeners, a file. Under each step is the chain of calls that led to it,
without the calls that it shares with the previous step. A task is shown under the function that
started it.
"""
Chain = tuple[tuple[str, str], ...]  # (file, function), from the outermost one


@dataclass(frozen=True)
class Step:
    """Something that was done outside, and our functions on the way to it."""

    name: str
    chain: Chain


def a_line(folder: Path) -> list[Step]:
    """`storycore-tts say` speaks a line on ComfyUI, which writes the file."""
    with StandInComfyUI(instant=True) as comfyui:
        _run(folder, "say", _LINE, "--url", comfyui.url, "--out", "hello.wav")
    return _steps(folder)


def a_cancel(folder: Path) -> list[Step]:
    """A client of `POST /v1/audio/speech` hangs up while ComfyUI generates its line."""
    with StandInComfyUI(instant=True) as comfyui:
        gate = comfyui.faults.hold("running")
        with _service(folder, comfyui.url) as (url, _):
            with _request(url, "/v1/audio/speech", _BODY):
                gate.reached.wait(60)
            comfyui.log.wait_for(lambda log: log.interrupt_requests, timeout=60)
            gate.release()
    return _since(_steps(folder), "POST /prompt")


def comfyui_down(folder: Path) -> list[Step]:
    """No server listens, and `fallback: draft` speaks the line instead."""
    with socket.socket() as nothing:  # bound, but listens to none
        nothing.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nothing.getsockname()[1]}"
        _run(folder, "say", _LINE, "--url", url, "--out", "hello.wav")
    return _steps(folder)


def kill_9(folder: Path) -> list[Step]:
    """A service dies while its job runs on ComfyUI; the next one finds the job there."""
    headers = {"Prefer": "respond-async"}
    with StandInComfyUI(instant=True) as comfyui:
        gate = comfyui.faults.hold("running")
        with _service(folder, comfyui.url) as (url, process):
            body = {"text": _LINE, "speaker": "Ryan"}
            accepted = httpx.post(f"{url}/ai/tts/qwen/generate", json=body, headers=headers)
            gate.reached.wait(60)
            process.kill()
        before = len(_steps(folder))
        with _service(folder, comfyui.url) as (url, _):
            gate.release()
            with httpx.Client(base_url=url, timeout=60) as client:
                client.get(f"/ai/tts/qwen/jobs/{accepted.json()['id']}/events").raise_for_status()
    steps = _steps(folder)
    after = [Step("kill -9, and the next start", ()), *steps[before:]]
    return [*steps[:before], *after]


def _opens_the_database(step: Step) -> bool:
    return any(function.endswith("._open") for _, function in step.chain)


SCENARIOS = {
    "A line": a_line,
    "A cancel": a_cancel,
    "ComfyUI is down": comfyui_down,
    "kill -9": kill_9,
}


def _command(folder: Path, *arguments: str) -> dict[str, Any]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("STORYCORE_TTS_")}
    settings = {"FALLBACK": "draft", "RETRY__ATTEMPTS": "1", "VOICES_DIR": str(folder / "voices")}
    return {
        "args": [sys.executable, _TRACING, str(folder / "steps.jsonl"), *arguments],
        "cwd": folder,
        "env": {
            **ours,
            **{f"STORYCORE_TTS_{name}": value for name, value in settings.items()},
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        },
        "encoding": "utf-8",
    }


def _run(folder: Path, *arguments: str) -> None:
    subprocess.run(**_command(folder, *arguments), check=True, capture_output=True, timeout=100)


@contextmanager
def _service(folder: Path, comfyui: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = _command(folder, "serve", "--url", comfyui, "--port", "0")
    command["env"]["STORYCORE_TTS_SERVER__STATE_DIR"] = str(folder / "state")
    with subprocess.Popen(**command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process
        finally:
            process.terminate()


@contextmanager
def _request(url: str, path: str, body: dict[str, str]) -> Iterator[None]:
    """Send a request, and hang up at the end of the block."""
    at, content = urlsplit(url), json.dumps(body)
    with socket.create_connection((str(at.hostname), at.port or 80)) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode())
        yield


def _steps(folder: Path) -> list[Step]:
    lines = (folder / "steps.jsonl").read_text("utf-8").splitlines()
    read = [json.loads(line) for line in lines]
    steps = [Step(it["step"], tuple(tuple(one) for one in it["chain"])) for it in read]
    return [step for step in steps if not _comes_at_any_time(step)]


def _comes_at_any_time(step: Step) -> bool:
    """Leave out what a timer does, which is in another place in each run."""
    polls = any(function.endswith("._watch_queue") for _, function in step.chain)
    return polls or step.name.startswith("UPDATE") or _opens_the_database(step)


def _since(steps: list[Step], name: str) -> list[Step]:
    return steps[next(n for n, step in enumerate(steps) if step.name == name) :]


def page() -> str:
    """Record all traces, and return the page."""
    parts = [_HEAD]
    for title, record in SCENARIOS.items():
        with TemporaryDirectory() as folder:
            steps = record(Path(folder))
        parts += [f"## {title}\n", f"{record.__doc__}\n", *written(steps), ""]
    return "\n".join(parts)


def written(steps: list[Step]) -> Iterator[str]:
    """Yield the steps of a trace as a list in Markdown."""
    above: Chain = ()
    for number, step in enumerate(steps, 1):
        shared = _shared(above, step.chain)
        below = f", below `{step.chain[shared - 1][1]}`" if shared else ""
        yield f"{number}. **{step.name}**{below}"
        for file, function in step.chain[shared:]:
            yield f"    - [`{function}`](../storycore_tts/{file}) in `{file}`"
        above = step.chain


def _shared(one: Chain, other: Chain) -> int:
    """Return how many functions two chains have in common from the outermost one on."""
    return next(
        (n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


def main(arguments: list[str]) -> str | None:
    """Write the page, or compare it; what is wrong, if anything is."""
    wanted = page()
    if "--check" not in arguments:
        PAGE.write_text(wanted, encoding="utf-8", newline="\n")
    elif PAGE.read_text("utf-8") != wanted:
        return f"{PAGE.name} is not what the code does: python documentation/make_traces.py"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
