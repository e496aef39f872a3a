"""Experiments on a server and on the stand-in, and the shapes of what came back."""

# ruff: noqa: T201 - it prints its report

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import soundfile
import websockets

from storycore_tts.testing.comfyui import StandInComfyUI

Shapes = dict[str, Any]
_NOISE = ("status", "progress_state")  # how many there are depends on the time that things take
_SECONDS = 900.0  # for one job on a busy machine
_NEW_JOBS = (0, 26)  # versions since which /api/jobs can cancel


@dataclass
class Client:
    """A client that reads all its frames."""

    base: str
    device: str
    http: httpx.AsyncClient
    socket: Any
    name: str
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def run(self, graph: dict[str, Any], *, prompt_id: str | None = None) -> dict[str, Any]:
        """Run a graph to its end: the frames in between, and what history says."""
        body = {"prompt": graph, "client_id": self.name, "prompt_id": prompt_id or str(uuid4())}
        answer = await self.http.post("/prompt", json=body)
        if answer.status_code != httpx.codes.OK:
            return {"refused": answer.json()}
        frames = await asyncio.wait_for(self._until_the_end(), _SECONDS)
        history = (await self.http.get(f"/history/{body['prompt_id']}")).json()
        return {
            "answer": answer.json(),
            "order": [frame["type"] for frame in frames],
            "frames": {frame["type"]: frame["data"] for frame in frames},
            "history": history[body["prompt_id"]],
        }

    async def _until_the_end(self) -> list[dict[str, Any]]:
        frames = []
        while True:
            message = await self.socket.recv()
            frame = json.loads(message) if isinstance(message, str) else {"type": "binary"}
            if frame["type"] in _NOISE:
                continue
            frames.append(frame)
            if frame["type"] == "executing" and frame["data"].get("node") is None:
                return frames

    def voice(self, **inputs: Any) -> dict[str, Any]:
        """A graph that speaks one word."""
        node = {
            "text": "Yes.", "speaker": "Ryan", "instruct": "", "custom_model_path": "",
            "custom_speaker_name": "", **self._common(), **inputs,
        }  # fmt: skip
        return {
            "voice": {"class_type": "FB_Qwen3TTSCustomVoice", "inputs": node},
            "output": {"class_type": "PreviewAudio", "inputs": {"audio": ["voice", 0], "job": "1"}},
        }

    def clone(self, uploaded: str) -> dict[str, Any]:
        """A graph that clones one word."""
        node = {
            "target_text": "Yes.", "ref_audio": ["reference", 0], "ref_text": "",
            "x_vector_only": True, "custom_model_path": "", **self._common(),
        }  # fmt: skip
        return {
            "reference": {"class_type": "LoadAudio", "inputs": {"audio": uploaded}},
            "voice": {"class_type": "FB_Qwen3TTSVoiceClone", "inputs": node},
            "output": {"class_type": "SaveAudio", "inputs": {
                "audio": ["voice", 0], "filename_prefix": f"live/{uuid4().hex}"}},
        }  # fmt: skip

    def _common(self) -> dict[str, Any]:
        return {
            "model_choice": "1.7B", "device": self.device, "precision": "bf16",
            "language": "English", "seed": 7, "max_new_tokens": 512, "top_p": 0.8, "top_k": 20,
            "temperature": 1.0, "repetition_penalty": 1.05, "attention": "sdpa",
            "unload_model_after_generate": False,
        }  # fmt: skip


Experiment = Callable[[Client], Awaitable[Any]]


async def _first(client: Client) -> Any:
    await client.http.post("/free", json={"free_memory": True, "unload_models": True})
    return await client.run(client.voice(model_choice="0.6B"))


async def _again(client: Client) -> Any:
    await client.run(client.voice(seed=1))
    return await client.run(client.voice(seed=2))


async def _cached(client: Client) -> Any:
    return await client.run(client.voice(seed=2))


async def _clone(client: Client) -> Any:
    file = io.BytesIO()
    samples = 0.3 * np.sin(np.arange(96_000) * 0.05)
    soundfile.write(file, samples, 24_000, format="WAV", subtype="PCM_16")
    sent = {"subfolder": "live", "type": "temp"}
    answer = await client.http.post(
        "/upload/image", files={"image": ("tone.wav", file.getvalue())}, data=sent
    )
    stored = answer.json()
    name = f"{stored['subfolder']}/{stored['name']} [{stored['type']}]"
    return {"upload": stored, **await client.run(client.clone(name))}


async def _failure(client: Client) -> Any:
    said = await client.run(client.voice(custom_speaker_name="nobody"))
    said["frames"]["execution_error"]["current_inputs"] = {}  # how a node sees values of its own
    said["history"]["status"]["messages"] = [m[0] for m in said["history"]["status"]["messages"]]
    return said


async def _refusals(client: Client) -> Any:
    unknown = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
    return {
        "value": await client.run(client.voice(speaker="Emily")),
        "node": await client.run(unknown),
        "file": await client.run(client.clone("no/such.wav")),
        "nothing to do": await client.run({"voice": client.voice()["voice"]}),
    }


async def _checkpoint(client: Client) -> Any:
    await client.run(client.voice(custom_model_path="/no/such", seed=3))
    log = (await client.http.get("/internal/logs")).json()
    line = next(one for one in log.splitlines() if "not found or invalid: /no/such" in one)
    return {"log": line.rpartition("[Qwen3-TTS] ")[2].partition("/no/such")[0]}


async def _installed(client: Client) -> Any:
    listed = (await client.http.get("/models/qwen-tts")).json()
    folders = (await client.http.get("/internal/folder_paths")).json()
    unknown = await client.http.get("/models/none")
    return {
        "some models": [name for name in listed if name.endswith("1.7B-Base/config.json")],
        "folders": folders["qwen-tts"],
        "unknown": unknown.status_code,
    }


async def _no_cuda(client: Client) -> Any:
    stats = (await client.http.get("/system_stats")).json()
    if stats["devices"][0]["type"] == "cuda":
        return None
    said = await client.run(client.voice(device="cuda", seed=4))
    return said["frames"]["execution_error"]["exception_message"].strip()


async def _server(client: Client) -> Any:
    stats = (await client.http.get("/system_stats")).json()
    system = {name: stats["system"][name] for name in ("os", "comfyui_version", "pytorch_version")}
    info = {}
    for name in ("FB_Qwen3TTSCustomVoice", "FB_Qwen3TTSVoiceClone", "PreviewAudio", "LoadAudio"):
        node = (await client.http.get(f"/object_info/{name}")).json()[name]
        kinds = [{key: spec[0] for key, spec in group.items()} for group in _inputs(node)]
        info[name] = {"inputs": kinds, "output_node": node["output_node"]}
    return {"system": system, "devices": stats["devices"], "nodes": info}


def _inputs(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in ("required", "optional"):
        yield {name: spec for name, spec in node["input"].get(group, {}).items() if spec}


async def _jobs(client: Client) -> Any:
    known, unknown = str(uuid4()), str(uuid4())
    await client.run(client.voice(seed=5), prompt_id=known)
    found = await client.http.get(f"/api/jobs/{known}")
    if found.status_code != httpx.codes.OK:
        return {"status": found.status_code}
    cancel = await client.http.post(f"/api/jobs/{unknown}/cancel")
    both = await client.http.post("/api/jobs/cancel", json={"job_ids": [known, unknown]})
    wrong = await client.http.post("/api/jobs/cancel", json={"job_ids": ["x"]})
    return {
        "job": found.json(),
        "cancelled": [cancel.status_code, cancel.json(), both.status_code, both.json()],
        "wrong": [wrong.status_code, wrong.json()],
    }


EXPERIMENTS: dict[str, Experiment] = {
    "the server": _server,
    "installed models": _installed,
    "first line": _first,
    "second line": _again,
    "the same line": _cached,
    "a clone": _clone,
    "a node fails": _failure,
    "refusals": _refusals,
    "a missing checkpoint": _checkpoint,
    "no CUDA": _no_cuda,
    "/api/jobs": _jobs,
}


async def record(base: str, device: str) -> Shapes:
    """Do all experiments on one server."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        name = uuid4().hex
        address = f"{base.replace('http', 'ws', 1)}/ws?clientId={name}"
        socket = await stack.enter_async_context(websockets.connect(address, max_size=None))
        client = Client(base, device, http, socket, name)
        return {title: await experiment(client) for title, experiment in EXPERIMENTS.items()}


async def compare(url: str, device: str) -> None:
    """Print what differs between a server and the stand-in that stands for its version."""
    real = await record(url, device)
    version = real["the server"]["system"]["comfyui_version"]
    modern = tuple(int(part) for part in version.split(".")[:2]) >= _NEW_JOBS
    has_cuda = real["the server"]["devices"][0]["type"] == "cuda"
    # Loading takes long enough for each step to be reported.
    options = {"version": version, "modern": modern, "has_cuda": has_cuda}
    with StandInComfyUI(**options, model_load_seconds=0.3, seconds_per_step=0.3) as server:
        ours = await record(server.url, device)
    rows = [
        f"| {title} | {where or '(all of it)'} | {there} | {here} |"
        for title in EXPERIMENTS
        for where, there, here in differences(real[title], ours[title])
    ]
    print("\n".join(rows or ["| all | | the same | the same |"]))
    print(f"\n{len(EXPERIMENTS)} experiments, {len(rows)} differences; ComfyUI {version}")


def differences(there: Any, here: Any, where: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield where two answers differ in shape: in keys, in types, in the order of frames."""
    if where.endswith(("current_outputs", "traceback")):
        return
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted({*there, *here}, key=str):
            if key not in there or key not in here:
                yield f"{where}.{key}".strip("."), _in(key, there), _in(key, here)
            else:
                yield from differences(there[key], here[key], f"{where}.{key}".strip("."))
    elif isinstance(there, list) and isinstance(here, list):
        if where.endswith(("order", "cancelled", "messages")) and _names(there) != _names(here):
            yield where, _brief(_names(there)), _brief(_names(here))
        else:
            pairs = enumerate(zip(there, here, strict=False))
            for index, (one, other) in pairs:
                yield from differences(one, other, f"{where}[{index}]")
    elif _kind(there) != _kind(here):
        yield where, _kind(there), _kind(here)
    elif where in ("log", "unknown", "") and there != here:
        yield where, _brief(there), _brief(here)


def _names(listed: list[Any]) -> list[Any]:
    return [item[0] if isinstance(item, list) else item for item in listed]


def _kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _in(key: str, mapping: dict[str, Any]) -> str:
    return _brief(mapping[key]) if key in mapping else "–"


def _brief(value: Any) -> str:
    text = " ".join(json.dumps(value, default=str).split()).replace("|", "/")
    return text if len(text) <= 100 else f"{text[:99]}…"
