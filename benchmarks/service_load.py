"""Overhead of the service under load, compared with a bare handler with the same backend.

Two processes, measured in turn in one run: ``storycore-tts serve`` with the draft backend, and
uvicorn with a minimal FastAPI handler around the same ``DraftAdapter``. Clients send the next
request as soon as they get a response.

* throughput, p50 and p99 with many clients, and p50 with a single client;
* jobs: accepted per second, completed per second, and the duration of a single job.

    python benchmarks/service_load.py [--seconds 60] [--clients 50] [--json]

Goal: no errors, and a few milliseconds per request more than the bare handler.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from storycore_tts import SpeechRequest
from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.sound.files import encode
from storycore_tts.testing.service_process import ServiceProcess

GENERATE, JOBS = "/ai/tts/qwen/generate", "/ai/tts/qwen/jobs"
LINE = {"text": "Hello, this is a test.", "speaker": "Ryan", "language": "English"}
SLICES = 6  # of each side, in turn, since the speed of the machine varies over time
JOBS_A_CLIENT = 4
LONE_JOBS = 20


class Line(BaseModel):
    """Request body of the bare handler."""

    text: str
    speaker: str
    language: str


def bare() -> None:
    """Run a minimal service; prints its URL."""
    app, adapter = FastAPI(), DraftAdapter()

    @app.post(GENERATE)
    async def generate(line: Line) -> Response:
        speech = await adapter.synthesize(SpeechRequest(**dict(line)))
        audio = await asyncio.to_thread(encode, speech.samples, speech.sample_rate, ".wav")
        return Response(audio, media_type="audio/wav")

    listener = uvicorn.Config(app, port=0).bind_socket()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


@contextlib.contextmanager
def bare_process() -> Iterator[str]:
    """Run ``bare`` in a child process."""
    command = [sys.executable, __file__, "--bare"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as child:
        assert child.stdout is not None
        try:
            yield next(line for line in child.stdout if line.startswith("http://")).strip()
        finally:
            child.kill()


@dataclass
class Load:
    """Measurements of one side."""

    seconds: float = 0.0
    took_ms: list[float] = field(default_factory=list)
    alone_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def figures(self, name: str) -> dict[str, float]:
        """Return the figures, with the name of the side as prefix."""
        return {
            f"{name}_per_s": round(len(self.took_ms) / self.seconds, 1),
            f"{name}_p50_ms": round(statistics.median(self.took_ms), 2),
            f"{name}_p99_ms": round(statistics.quantiles(self.took_ms, n=100)[-1], 2),
            f"{name}_alone_ms": round(statistics.median(self.alone_ms), 2),
            f"{name}_errors": len(self.errors),
        }


Ask = Callable[[], Awaitable[None]]


async def ask_until(over: float, ask: Ask, took_ms: list[float], errors: list[str]) -> None:
    """Send requests until a time is reached, at least one."""
    now = 0.0
    while now < over:
        began = time.perf_counter()
        try:
            await ask()
        except (aiohttp.ClientError, asyncio.TimeoutError, AssertionError) as error:
            errors.append(f"{type(error).__name__}: {error}")
        else:
            took_ms.append((time.perf_counter() - began) * 1000)
        now = time.perf_counter()


async def load(
    http: aiohttp.ClientSession, url: str, clients: int, seconds: float, of: Load
) -> None:
    """Send requests to one side for some seconds, a tenth of them as the only client."""

    async def ask() -> None:
        async with http.post(f"{url}{GENERATE}", json=LINE) as answer:
            audio = await answer.read()
            assert answer.status == 200, audio
            assert audio[:4] == b"RIFF"

    await ask()
    await ask_until(time.perf_counter() + seconds / 10, ask, of.alone_ms, of.errors)
    began = time.perf_counter()
    over = began + seconds * 0.9
    await asyncio.gather(*(ask_until(over, ask, of.took_ms, of.errors) for _ in range(clients)))
    of.seconds += time.perf_counter() - began


async def jobs(http: aiohttp.ClientSession, url: str, clients: int, lone: int) -> dict[str, float]:
    """Submit many jobs at once and wait for them, then one at a time."""

    async def submitted() -> str:
        headers = {"Prefer": "respond-async"}
        async with http.post(f"{url}{GENERATE}", json=LINE, headers=headers) as answer:
            assert answer.status == 202, await answer.read()
            return str((await answer.json())["id"])

    async def succeeded(job_id: str) -> None:
        job = {}
        async with http.get(f"{url}{JOBS}/{job_id}/events") as events:
            async for line in events.content:
                if line.startswith(b"data: "):
                    job = json.loads(line.removeprefix(b"data: "))
        assert job["state"] == "succeeded", job

    async def some() -> list[str]:
        return [await submitted() for _ in range(JOBS_A_CLIENT)]

    began = time.perf_counter()
    given = [
        job for batch in await asyncio.gather(*(some() for _ in range(clients))) for job in batch
    ]
    accepted = time.perf_counter()
    await asyncio.gather(*map(succeeded, given))
    done = time.perf_counter()
    lone_ms = []
    for _ in range(lone):
        start = time.perf_counter()
        await succeeded(await submitted())
        lone_ms.append((time.perf_counter() - start) * 1000)
    return {
        "jobs_accepted_per_s": round(len(given) / (accepted - began), 1),
        "jobs_done_per_s": round(len(given) / (done - began), 1),
        "job_p50_ms": round(statistics.median(lone_ms), 1),
        "job_max_ms": round(max(lone_ms), 1),
    }


async def measured(
    ours: str, plain: str, clients: int, seconds: float, lone: int
) -> dict[str, float]:
    """Measure both sides in turn, and the jobs of the service."""
    sides = {"ours": (ours, Load()), "bare": (plain, Load())}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as http:
        for number in range(SLICES):
            for url, of in list(sides.values())[:: 1 if number % 2 else -1]:
                await load(http, url, clients, seconds / SLICES, of)
        about_jobs = await jobs(http, ours, clients, lone)
    for _, of in sides.values():
        for error in dict.fromkeys(of.errors):
            print("error:", error, file=sys.stderr)
    figures = {k: v for name, (_, of) in sides.items() for k, v in of.figures(name).items()}
    added = figures["ours_alone_ms"] - figures["bare_alone_ms"]
    work = 1000 / figures["ours_per_s"] - 1000 / figures["bare_per_s"]
    return figures | about_jobs | {"added_alone_ms": round(added, 2), "added_ms": round(work, 2)}


def report(result: dict[str, float], clients: int) -> None:
    """Print the tables."""
    table = Table("", "service", "bare handler", title=f"{clients} clients, draft voices")
    for name, what in (
        ("per_s", "requests/s"),
        ("p50_ms", "p50, ms"),
        ("p99_ms", "p99, ms"),
        ("alone_ms", "one client, p50, ms"),
        ("errors", "errors"),
    ):
        table.add_row(what, f"{result[f'ours_{name}']:g}", f"{result[f'bare_{name}']:g}")
    Console().print(table)
    print(
        f"added: {result['added_ms']:g} ms of work per request, "
        f"{result['added_alone_ms']:g} ms for one client alone"
    )
    table = Table("", "", title="Jobs", show_header=False)
    table.add_row(f"accepted/s, {clients} clients", f"{result['jobs_accepted_per_s']:g}")
    table.add_row("done/s", f"{result['jobs_done_per_s']:g}")
    table.add_row("a lone one, submitted → succeeded, p50, ms", f"{result['job_p50_ms']:g}")
    table.add_row(f"the slowest of {LONE_JOBS}, ms", f"{result['job_max_ms']:g}")
    Console().print(table)


def main() -> int:
    """Measure and report; the exit status is 0 if there were no errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load for each side")
    parser.add_argument("--clients", type=int, default=50, help="at once")
    parser.add_argument("--lone-jobs", type=int, default=LONE_JOBS, help="one after the other")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.bare:
        bare()
        return 0
    unlimited = {"requests_per_minute": None, "max_waiting": asked.clients}
    with (
        tempfile.TemporaryDirectory() as folder,
        bare_process() as plain,
        ServiceProcess(Path(folder), backend="draft", server=unlimited) as ours,
    ):
        result = asyncio.run(
            measured(ours.url, plain, asked.clients, asked.seconds, asked.lone_jobs)
        )
    report(result, asked.clients)
    if asked.json:
        print(json.dumps(result))
    return 1 if result["ours_errors"] or result["bare_errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
