"""Overhead of this package per ComfyUI job, compared with a minimal client and with polling.

The stand-in server runs in a separate process with nodes that take no time, so that only the work
of the client is measured. Compared in one run, interleaved:

* floor: a bare httpx and websockets script that posts the prompt, waits for the WebSocket, fetches
  history, downloads and decodes, with a shared WebSocket and connection pool;
* ours: ``ComfyUIAdapter.synthesize``, which does the same and everything else;
* polling: history is polled every 0.5 s, as StoryCore does today.

    python benchmarks/comfyui_overhead.py [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import soundfile
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from storycore_tts import QwenTTSConfig, SpeechRequest
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.comfyui import StandInProcess

TEXT = "Hello, this is a test."
CONCURRENT = 50
POLL_SECONDS = 0.5

Call = Callable[[], Awaitable[None]]


def workflow(prompt_id: str) -> dict[str, Any]:
    """Return the graph that all three clients send."""
    voice = {
        "text": TEXT,
        "speaker": "Ryan",
        "model_choice": "1.7B",
        "device": "cuda",
        "precision": "bf16",
        "language": "Auto",
        "seed": uuid.UUID(prompt_id).int % 2**53,
        "instruct": "",
        "max_new_tokens": 512,
        "top_p": 0.8,
        "top_k": 20,
        "temperature": 1.0,
        "repetition_penalty": 1.05,
        "attention": "sdpa",
        "unload_model_after_generate": False,
        "custom_model_path": "",
        "custom_speaker_name": "",
    }
    save = {"audio": ["1", 0], "filename_prefix": f"bench/{prompt_id}"}
    return {
        "1": {"class_type": "FB_Qwen3TTSCustomVoice", "inputs": voice},
        "2": {"class_type": "SaveAudio", "inputs": save},
    }


class Bare:
    """A minimal client."""

    def __init__(self, http: httpx.AsyncClient, socket: ClientConnection, client_id: str) -> None:
        self.http = http
        self.client_id = client_id
        self.waiting: dict[str, asyncio.Event] = {}
        self.reader = asyncio.create_task(self._read(socket))

    async def _read(self, socket: ClientConnection) -> None:
        async for message in socket:
            frame = json.loads(message)
            if frame["type"] == "executing" and frame["data"]["node"] is None:
                self.waiting[frame["data"]["prompt_id"]].set()

    async def submit(self) -> str:
        """Post the prompt."""
        prompt_id = str(uuid.uuid4())
        self.waiting[prompt_id] = asyncio.Event()
        body = {
            "prompt": workflow(prompt_id),
            "client_id": self.client_id,
            "prompt_id": prompt_id,
        }
        (await self.http.post("/prompt", json=body)).raise_for_status()
        return prompt_id

    async def fetch(self, entry: dict[str, Any]) -> None:
        """Download and decode."""
        file = entry["outputs"]["2"]["audio"][0]
        answer = await self.http.get("/view", params=file)
        samples, _ = soundfile.read(io.BytesIO(answer.content), dtype="float32")
        assert len(samples)

    async def floor(self) -> None:
        """Wait for the WebSocket, then fetch history once."""
        prompt_id = await self.submit()
        await self.waiting[prompt_id].wait()
        history = (await self.http.get(f"/history/{prompt_id}")).json()
        await self.fetch(history[prompt_id])

    async def polling(self) -> None:
        """Poll history every half second."""
        prompt_id = await self.submit()
        while True:
            history = (await self.http.get(f"/history/{prompt_id}")).json()
            if prompt_id in history:
                break
            await asyncio.sleep(POLL_SECONDS)
        await self.fetch(history[prompt_id])


async def milliseconds(call: Call, times: int = 1) -> tuple[float, float]:
    """Measure concurrent calls: wall time of all, and CPU time of this process per call."""
    began, worked = time.perf_counter(), time.process_time()
    await asyncio.gather(*(call() for _ in range(times)))
    cpu = (time.process_time() - worked) / times
    return (time.perf_counter() - began) * 1000, cpu * 1000


async def measure(url: str, rounds: int) -> dict[str, float]:
    """Measure the three clients with one server, in turn, and return medians in ms."""
    adapter = ComfyUIAdapter(QwenTTSConfig(comfyui_url=url))
    client_id = uuid.uuid4().hex

    async def ours() -> None:
        await adapter.synthesize(SpeechRequest(TEXT, "Ryan"))

    found: dict[str, list[tuple[float, float]]] = {}
    address = f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
    async with httpx.AsyncClient(base_url=url, timeout=30) as http, connect(address) as socket:
        bare = Bare(http, socket, client_id)
        for call in (bare.floor, ours, bare.floor, ours):  # connections, imports, caches
            await call()
        for number in range(rounds * 6):
            # The order alternates, since the first call affects the second one.
            pair = [("floor_ms", bare.floor), ("ours_ms", ours)]
            for name, call in pair if number % 2 else reversed(pair):
                found.setdefault(name, []).append(await milliseconds(call))
        for _ in range(min(rounds, 3)):
            found.setdefault("polling_ms", []).append(await milliseconds(bare.polling))
        for number in range(rounds):
            pair = [("floor_50_ms", bare.floor), ("ours_50_ms", ours)]
            for name, call in pair if number % 2 else reversed(pair):
                found.setdefault(name, []).append(await milliseconds(call, CONCURRENT))
        bare.reader.cancel()
    await adapter.aclose()
    return summary(found)


def summary(found: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    """Return medians of wall and CPU times, and their ratios to the floor."""
    result = {}
    for name, times in found.items():
        wall, cpu = zip(*times, strict=True)
        result[name] = round(statistics.median(wall), 2)
        result[name.replace("_ms", "_cpu_ms")] = round(statistics.median(cpu), 2)
    for what in ("", "_cpu", "_50", "_50_cpu"):
        result[f"ratio{what}"] = round(result[f"ours{what}_ms"] / result[f"floor{what}_ms"], 3)
    return result


def report(result: dict[str, float]) -> None:
    """Print the table."""
    table = Table("", "floor", "ours", "polling", "ours / floor", title="ComfyUI overhead, ms")
    rows = {
        "1 call": "",
        "CPU time of it": "_cpu",
        f"{CONCURRENT} calls at once": "_50",
        "CPU time of each": "_50_cpu",
    }
    for name, what in rows.items():
        times = [result.get(f"{who}{what}_ms") for who in ("floor", "ours", "polling")]
        cells = ["" if spent is None else f"{spent:.1f}" for spent in times]
        table.add_row(name, *cells, f"{result[f'ratio{what}']:.2f}")
    Console().print(table)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    parser.add_argument("--rounds", type=int, default=9, help="more rounds, steadier medians")
    options = parser.parse_args()
    with StandInProcess(instant=True) as server:
        result = asyncio.run(measure(server.url, options.rounds))
    report(result)
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
