"""A ComfyUI in memory, behind the adapter's own seams: no socket, so that time can be virtual."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import soundfile

from storycore_tts import QwenTTSConfig
from storycore_tts.adapters.comfyui import ComfyUIAdapter

from .conftest import OBJECT_INFO

ADDRESS = "http://comfyui.test:8188"


def tone(seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    times = np.arange(int(24_000 * seconds)) / 24_000
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * 220 * times), 24_000, format="FLAC")
    return file.getvalue()


class MemorySocket:
    """One WebSocket's messages."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | None] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[str]:
        while (message := await self.messages.get()) is not None:
            yield message

    async def close(self) -> None:
        self.messages.put_nowait(None)


class MemoryComfyUI:
    """Answers requests at once; a path in ``held`` waits for its event.

    A submitted job runs until ``finish``, or ends at once if ``instant``.
    """

    def __init__(self, *, instant: bool = False) -> None:
        self.instant = instant
        self.version = "0.3.64"
        self.is_slow_to_start = False  # a job forgets its first interruption, and says nothing
        self.requests: list[tuple[str, str]] = []
        self.times: list[float] = []  # of these requests, and of attempts to open a WebSocket
        self.held: dict[str, asyncio.Event] = {}
        self.refused: list[dict[str, Any]] = []  # bodies of 400 for the next submissions
        self.nonsense: dict[str, bytes] = {}  # what to answer instead, by the start of the path
        self.told: dict[str, Any] = {}  # answers below /models and /internal
        self.device = ""  # what the server computes on, such as "cpu"
        self.files: dict[str, bytes] = {}
        self.queue: dict[str, dict[str, Any]] = {}
        self.submitted: list[str] = []
        self.interrupted: list[str] = []
        self.is_down = False
        self.sockets: list[MemorySocket] = []
        self._sound = tone()

    def adapter(self, **timeouts: float) -> ComfyUIAdapter:
        config = QwenTTSConfig(comfyui_url=ADDRESS, comfyui={"timeouts": timeouts})
        transport = httpx.MockTransport(self._answer)
        return ComfyUIAdapter(config, transport=transport, open_socket=self._open)

    def count(self, method: str, path: str) -> int:
        return self.requests.count((method, path))

    async def until(self, condition: Callable[[MemoryComfyUI], object]) -> None:
        """Wait, on the virtual clock, until something is so."""
        while not condition(self):
            await asyncio.sleep(0.01)

    async def go_down(self) -> None:
        """Stop answering, and forget everything."""
        self.is_down, self.queue, self.files = True, {}, {}
        for socket in self.sockets:
            await socket.close()
        self.sockets = []

    def finish(self, prompt_id: str) -> None:
        del self.queue[prompt_id]
        output = {"audio": [{"filename": f"{prompt_id}.flac", "type": "temp", "subfolder": ""}]}
        self.files[f"{prompt_id}.flac"] = self._sound
        self.send("executed", prompt_id=prompt_id, node="output", output=output)
        self.send("execution_success", prompt_id=prompt_id)

    def send(self, kind: str, **data: Any) -> None:
        for socket in self.sockets:
            socket.messages.put_nowait(json.dumps({"type": kind, "data": data}))

    async def _open(self, client_id: str) -> MemorySocket:
        self.times.append(asyncio.get_running_loop().time())
        if self.is_down:
            raise ConnectionRefusedError
        self.sockets.append(MemorySocket())
        return self.sockets[-1]

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        method, path = request.method, request.url.path
        self.requests.append((method, path))
        self.times.append(asyncio.get_running_loop().time())
        if self.is_down:
            raise httpx.ConnectError("refused")
        if path in self.held:
            await self.held[path].wait()
        for start, body in self.nonsense.items():
            if path.startswith(start):
                return httpx.Response(200, content=body)
        handle = self._get if method == "GET" else self._post
        status, body = handle(path.strip("/").split("/"), request)
        if isinstance(body, bytes):
            return httpx.Response(status, content=body)
        return httpx.Response(status, json=body)

    def _get(self, path: list[str], request: httpx.Request) -> tuple[int, Any]:
        match path:
            case ["system_stats"]:
                devices = [{"name": self.device, "type": self.device}] if self.device else []
                return 200, {"system": {"comfyui_version": self.version}, "devices": devices}
            case ["object_info", class_type]:
                return 200, {class_type: OBJECT_INFO[class_type]}
            case ["queue"]:
                listed = [[n, known, graph] for n, (known, graph) in enumerate(self.queue.items())]
                return 200, {"queue_running": listed[:1], "queue_pending": listed[1:]}
            case ["history", _]:
                return 200, {}
            case ["models" | "internal", _]:
                return (
                    (200, self.told["/".join(path)]) if "/".join(path) in self.told else (404, b"")
                )
            case _:
                found = self.files.get(request.url.params["filename"])
                return (200, found) if found is not None else (404, b"")

    def _post(self, path: list[str], request: httpx.Request) -> tuple[int, Any]:
        match path:
            case ["upload", "image"]:
                return self._upload(request)
            case ["prompt"]:
                return self._submit(json.loads(request.content))
            case ["queue"]:
                pending = list(self.queue)[1:]
                for prompt_id in {*json.loads(request.content)["delete"]} & {*pending}:
                    del self.queue[prompt_id]
            case ["interrupt"]:
                self._interrupt(json.loads(request.content)["prompt_id"])
            case ["api", "jobs", prompt_id, "cancel"]:
                self._interrupt(prompt_id)
        return 200, {}

    def _interrupt(self, prompt_id: str) -> None:
        if self.is_slow_to_start:
            self.is_slow_to_start = False
        elif self.queue.pop(prompt_id, None) is not None:
            self.interrupted.append(prompt_id)

    def _upload(self, request: httpx.Request) -> tuple[int, Any]:
        _, _, rest = request.content.partition(b'filename="')
        name, _, rest = rest.partition(b'"')
        _, _, rest = rest.partition(b"\r\n\r\n")
        self.files[name.decode()] = rest.rpartition(b"\r\n--")[0]
        return 200, {"name": name.decode(), "subfolder": "storycore_tts", "type": "temp"}

    def _submit(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.refused:
            return 400, self.refused.pop()
        prompt_id = body["prompt_id"]
        self.submitted.append(prompt_id)
        self.queue[prompt_id] = body["prompt"]
        if not self.is_slow_to_start:
            self.send("execution_start", prompt_id=prompt_id)
        if self.instant:
            self.finish(prompt_id)
        return 200, {"prompt_id": prompt_id, "node_errors": {}}
