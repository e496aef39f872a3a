"""Time to the first and last byte of a line: plain, streamed, and with six clients.

One service, and clients of ``/v1/audio/speech``. Backends, one after the other:

* comfyui: the stand-in, which simulates the speed of a GPU (``--real-time-factor``), or your own
  server (``--comfyui``);
* draft: espeak-ng;
* direct: a tiny random model on the CPU, if torch and qwen_tts are installed.

    python benchmarks/first_byte.py [--backends comfyui,draft,direct] [--json]

Goal: the first byte of a stream in half the time of the whole line, and no errors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from storycore_tts.testing.comfyui import StandInProcess
from storycore_tts.testing.service_process import ServiceProcess

TEXT = (
    "Once upon a time, a small robot learned to sing. Every morning it climbed the old tower. "
    "From up there it could see the whole valley, and the river in it. Nobody ever heard it. "
    "But one day the wind carried its song down to the village, and the people came out to listen."
)
HOW: dict[str, dict[str, Any]] = {
    "plain": {"response_format": "mp3"},
    "stream": {"response_format": "mp3", "stream_format": "audio"},
}
AT_ONCE = (1, 6)


async def one(http: aiohttp.ClientSession, url: str, how: dict[str, Any]) -> tuple[float, float]:
    """Request the text once; return the seconds to the first and to the last byte."""
    body = {"model": "qwen3-tts", "voice": "Ryan", "input": TEXT, "seed": 7, **how}
    began = time.perf_counter()
    async with http.post(f"{url}/v1/audio/speech", json=body) as answer:
        data = await answer.content.readany()
        first = time.perf_counter() - began
        assert answer.status == 200, data
        while await answer.content.readany():
            pass
        return first, time.perf_counter() - began


async def measured(url: str, rounds: int) -> dict[str, float]:
    """Return the medians; with six clients, those of the slowest client."""
    figures = {}
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
        await one(http, url, {})  # models are loaded
        for clients in AT_ONCE:
            for name, how in HOW.items():
                firsts, lasts = [], []
                for _ in range(rounds):
                    took = await asyncio.gather(*(one(http, url, how) for _ in range(clients)))
                    firsts.append(max(first for first, _ in took))
                    lasts.append(max(last for _, last in took))
                figures[f"{name}_{clients}_first_s"] = round(statistics.median(firsts), 3)
                figures[f"{name}_{clients}_last_s"] = round(statistics.median(lasts), 3)
    return figures


@contextmanager
def behind(backend: str, asked: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the settings of a service with a backend."""
    settings = {"backend": backend, "default_language": "English"}
    if backend == "direct":
        from storycore_tts.testing.tiny_models import build_tiny_models

        models = {"1.7B-CustomVoice": str(build_tiny_models(folder).path("custom_voice"))}
        yield {**settings, "device": "cpu", "precision": "fp32", "direct": {"models": models}}
    elif backend == "comfyui" and asked.comfyui is None:
        with StandInProcess(modern=True, real_time_factor=asked.real_time_factor) as server:
            yield {**settings, "comfyui_url": server.url}
    else:
        yield {**settings, "comfyui_url": asked.comfyui or "http://127.0.0.1:8188"}


def report(backend: str, figures: dict[str, float]) -> None:
    """Print the table of a backend."""
    table = Table("", "first byte, s", "last byte, s", title=backend)
    for clients in AT_ONCE:
        for name in HOW:
            what = name if clients == 1 else f"{name}, the last of {clients} at once"
            key = f"{name}_{clients}"
            table.add_row(what, f"{figures[f'{key}_first_s']:g}", f"{figures[f'{key}_last_s']:g}")
    Console().print(table)


def main() -> int:
    """Measure and report; the exit status is 0 if the goal was met."""
    there = ["comfyui", "draft", *(["direct"] if find_spec("qwen_tts") else [])]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", default=",".join(there), help="comma-separated list")
    parser.add_argument("--comfyui", help="URL of a ComfyUI server to use instead of the stand-in")
    parser.add_argument("--real-time-factor", type=float, default=0.5, help="of the stand-in")
    asked = parser.parse_args()
    result = {}
    for backend in asked.backends.split(","):
        with (
            tempfile.TemporaryDirectory() as folder,
            behind(backend, asked, Path(folder)) as settings,
            ServiceProcess(Path(folder) / "service", **settings) as service,
        ):
            figures = asyncio.run(measured(service.url, asked.rounds))
        report(backend, figures)
        result |= {f"{backend}_{name}": value for name, value in figures.items()}
    if asked.json:
        print(json.dumps(result))
    streamed = [name.removesuffix("_stream_1_first_s") for name in result if "stream_1_f" in name]
    early = all(
        result[f"{b}_stream_1_first_s"] < result[f"{b}_plain_1_last_s"] / 2 for b in streamed
    )
    return 0 if early else 1


if __name__ == "__main__":
    sys.exit(main())
