"""A client for the stand-in that knows nothing but HTTP and WebSocket."""

from __future__ import annotations

import asyncio
import io
import json
import select
import socket
import struct
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import websockets

from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.proxy import FaultyProxy

TIMEOUT = 10.0


class Client:
    """One client id, its HTTP connection and its socket."""

    def __init__(
        self, client_id: str, http: httpx.AsyncClient, ws: websockets.ClientConnection
    ) -> None:
        self.client_id = client_id
        self.http = http
        self.ws = ws

    async def submit(self, graph: dict[str, Any], **extra: Any) -> str:
        body = {"prompt": graph, "client_id": self.client_id, **extra}
        answer = await self.http.post("/prompt", json=body)
        assert answer.status_code == 200, answer.text
        prompt_id: str = answer.json()["prompt_id"]
        return prompt_id

    async def frame(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.ws.recv(), TIMEOUT)
        frame: dict[str, Any] = json.loads(message)
        return frame

    async def frames_until(self, event: str, node: str | None = "any") -> list[dict[str, Any]]:
        """Everything up to such an event, of that node."""
        frames = [await self.frame()]
        while frames[-1]["type"] != event or node not in ("any", frames[-1]["data"].get("node")):
            frames.append(await self.frame())
        return frames

    async def frames_of_run(self) -> list[dict[str, Any]]:
        """Everything up to the null executing that ends a run."""
        return await self.frames_until("executing", node=None)

    async def run(self, graph: dict[str, Any], **extra: Any) -> tuple[str, list[dict[str, Any]]]:
        prompt_id = await self.submit(graph, **extra)
        return prompt_id, await self.frames_of_run()

    async def history(self, prompt_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get(f"/history/{prompt_id}")).json()
        return answer

    async def outcome(self, graph: dict[str, Any]) -> dict[str, Any]:
        """Run a graph; its history entry."""
        prompt_id, _ = await self.run(graph)
        entry: dict[str, Any] = (await self.history(prompt_id))[prompt_id]
        return entry

    async def error(self, graph: dict[str, Any]) -> dict[str, Any]:
        """Run a graph that fails; the execution_error's data."""
        entry = await self.outcome(graph)
        assert entry["status"]["status_str"] == "error", entry
        event, data = entry["status"]["messages"][-1]
        assert event == "execution_error"
        error: dict[str, Any] = data
        return error

    async def audio(self, graph: dict[str, Any]) -> np.ndarray:
        """Run a graph; the samples of the first file that it saved."""
        entry = await self.outcome(graph)
        assert entry["status"]["status_str"] == "success", entry["status"]
        (output,) = entry["outputs"].values()
        file = (await self.http.get("/view", params=output["audio"][0])).content
        samples, rate = soundfile.read(io.BytesIO(file), dtype="float32")
        assert rate == 24_000
        return samples

    async def upload(self, name: str, data: bytes, **form: str) -> httpx.Response:
        return await self.http.post("/upload/image", files={"image": (name, data)}, data=form)


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
def server() -> Iterator[StandInComfyUI]:
    """Instant: for what has nothing to do with speech."""
    with StandInComfyUI(instant=True) as running:
        yield running


@pytest.fixture
def speaking() -> Iterator[StandInComfyUI]:
    """With a voice and with files."""
    with StandInComfyUI() as running:
        yield running


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`await connect(server, "id")`: a client whose greeting has been read."""
    async with AsyncExitStack() as stack:

        async def make(server: Any, client_id: str = "ann", *, greeted: bool = True) -> Client:
            http = httpx.AsyncClient(
                base_url=server.url,
                timeout=TIMEOUT,
                trust_env=False,
                verify=False,  # plain HTTP; loading certificates would take longer than a test
            )
            await stack.enter_async_context(http)
            address = f"{server.url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
            ws = await websockets.connect(address, max_size=None, max_queue=None, proxy=None)
            stack.push_async_callback(ws.close)
            client = Client(client_id, http, ws)
            if greeted:
                assert (await client.frame())["data"]["sid"] == client_id
            return client

        yield make


def speaking_graph(node: str, prefix: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """A node of the pack, 1, and a SaveAudio node, 2."""
    usual = {
        "model_choice": "1.7B", "device": "cuda", "precision": "bf16", "language": "English",
        "seed": 1,
    }  # fmt: skip
    save = {"audio": ["1", 0], "filename_prefix": prefix}
    return {
        "1": {"class_type": f"FB_Qwen3TTS{node}", "inputs": usual | inputs},
        "2": {"class_type": "SaveAudio", "inputs": save},
    }


@pytest.fixture
def voice_graph() -> Callable[..., dict[str, Any]]:
    """A CustomVoice node, 1, and a SaveAudio node, 2."""

    def make(prefix: str = "lab/cv", **inputs: Any) -> dict[str, Any]:
        usual = {
            "text": "Hello world", "speaker": "Ryan", "instruct": "", "max_new_tokens": 512,
            "top_p": 0.8, "top_k": 20, "temperature": 1.0, "repetition_penalty": 1.05,
            "attention": "sdpa", "unload_model_after_generate": False, "custom_model_path": "",
            "custom_speaker_name": "",
        }  # fmt: skip
        return speaking_graph("CustomVoice", prefix, usual | inputs)

    return make


@pytest.fixture
def clone_graph() -> Callable[..., dict[str, Any]]:
    """LoadAudio, 0, a VoiceClone node, 1, and a SaveAudio node, 2."""

    def make(audio: str = "ref.wav", prefix: str = "lab/vc", **inputs: Any) -> dict[str, Any]:
        usual = {
            "target_text": "Hello world", "ref_audio": ["0", 0], "ref_text": "",
            "max_new_tokens": 512, "x_vector_only": True, "attention": "sdpa",
            "custom_model_path": "",
        }  # fmt: skip
        load = {"class_type": "LoadAudio", "inputs": {"audio": audio}}
        return {"0": load, **speaking_graph("VoiceClone", prefix, usual | inputs)}

    return make


@pytest.fixture
def wav() -> Callable[..., bytes]:
    """A WAV file of a sine wave: `wav(seconds, hertz)`."""

    def make(seconds: float = 1.0, hertz: float = 220.0) -> bytes:
        times = np.arange(int(seconds * 24_000)) / 24_000
        samples = (8000 * np.sin(2 * np.pi * hertz * times)).astype("<i2")
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24_000)
            file.writeframes(samples.tobytes())
        return buffer.getvalue()

    return make


class End:
    """One end of a connection through a proxy, played by a test."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        raw.settimeout(TIMEOUT)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self.raw.sendall(data)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.raw.recv(size - len(data))
            assert more, f"the end came after {data!r}"
            data += more
        return data

    def read_all(self) -> bytes:
        """Everything up to an orderly end; ConnectionResetError if it is no such end."""
        data = b""
        while more := self.raw.recv(65_536):
            data += more
        return data

    def finish(self) -> None:
        self.raw.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        # Lingering for zero seconds turns the close into a TCP reset.
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()

    def hears_nothing(self) -> bool:
        """Not a byte, not an end, for a moment."""
        readable, _, _ = select.select([self.raw], [], [], 0.03)
        return not readable

    def is_reset(self) -> bool:
        try:
            self.read_all()
        except ConnectionResetError:
            return True
        return False


class Wire:
    """A proxy, and a server behind it that the test plays."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.listener.settimeout(TIMEOUT)
        self.upstream = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.proxy = stack.enter_context(FaultyProxy(self.upstream))

    def dial(self) -> End:
        """A client, whether or not the server hears of it."""
        address = ("127.0.0.1", self.proxy.port)
        return End(self._stack.enter_context(socket.create_connection(address)))

    def answer(self) -> End:
        """The server's end of the oldest connection that it has not answered yet."""
        raw, _ = self.listener.accept()
        return End(self._stack.enter_context(raw))

    def connect(self) -> tuple[End, End]:
        """A client's and the server's end of a new connection."""
        return self.dial(), self.answer()


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A proxy between two ends that the test plays: `client, server = wire.connect()`."""
    with ExitStack() as stack:
        yield Wire(stack)
