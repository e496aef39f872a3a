"""Tokens, origins, prefixes, and what the server says it has."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import websockets

from storycore_tts.testing.comfyui import (
    NodeMissing,
    NodePackMissing,
    StandInComfyUI,
)

PACK = {f"FB_Qwen3TTS{name}" for name in ("CustomVoice", "VoiceClone", "VoiceDesign", "Train")}
CORE = {"LoadAudio", "SaveAudio", "PreviewAudio", "PreviewAny"}


async def test_a_token_is_demanded_everywhere():
    with StandInComfyUI(instant=True, token="secret") as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as http:
            assert (await http.get("/queue")).status_code == 401
            right = {"Authorization": "Bearer secret"}
            assert (await http.get("/queue", headers=right)).status_code == 200
        address = server.url.replace("http", "ws") + "/ws?clientId=ann"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(address, proxy=None)
        async with websockets.connect(address, additional_headers=right, proxy=None) as ws:
            await ws.recv()
        assert server.log.ws_connections == ["ann"]


async def test_pages_from_elsewhere_are_refused(server, connect):
    client = await connect(server)
    for origin, status in (
        ("http://example.com", 403),
        (f"http://localhost:{server.port}", 403),
        (server.url, 200),
    ):
        answer = await client.http.get("/queue", headers={"Origin": origin})
        assert answer.status_code == status


async def test_everything_is_below_a_prefix_and_below_api_too(connect, voice_graph):
    with StandInComfyUI(instant=True, path_prefix="/comfy/") as server:
        assert server.url.endswith("/comfy")
        client = await connect(server)
        entry = await client.outcome(voice_graph())
        assert entry["status"]["completed"]
        assert (await client.http.get("/api/queue")).status_code == 200
        outside = server.url.removesuffix("/comfy")
        assert (await client.http.get(f"{outside}/queue")).status_code == 404
        # The log has the path as ComfyUI would see it.
        assert server.log.http_count("/queue") == 2
        assert server.log.http_count("/prompt", "POST") == 1


async def test_the_nodes_can_vanish_and_come_back(server, connect):
    client = await connect(server)
    nodes = (await client.http.get("/object_info")).json()
    assert set(nodes) == PACK | CORE
    one = (await client.http.get("/object_info/FB_Qwen3TTSCustomVoice")).json()
    assert list(one) == ["FB_Qwen3TTSCustomVoice"]
    tokens = one["FB_Qwen3TTSCustomVoice"]["input"]["optional"]["max_new_tokens"]
    assert tokens == ["INT", {"default": 2048, "min": 512, "max": 4096, "step": 256}]
    assert (await client.http.get("/object_info/Nope")).json() == {}

    gone = NodePackMissing()
    server.faults.add(gone)
    assert set((await client.http.get("/object_info")).json()) == CORE
    server.faults.remove(gone)
    server.faults.add(NodeMissing(node="FB_Qwen3TTSTrain"))
    nodes = (await client.http.get("/object_info")).json()
    assert set(nodes) == (PACK | CORE) - {"FB_Qwen3TTSTrain"}


async def test_a_job_whose_nodes_have_vanished_fails_and_the_next_one_runs(
    server, connect, voice_graph
):
    client = await connect(server)
    gate = server.faults.hold("queue")
    gone = NodePackMissing()
    await client.submit(voice_graph(seed=1), prompt_id="accepted")
    assert await asyncio.to_thread(gate.reached.wait, 5)
    server.faults.add(gone)
    gate.release()
    frames = await client.frames_until("execution_error")
    assert frames[-1]["data"]["exception_type"] == "KeyError"
    server.faults.remove(gone)
    assert (await client.outcome(voice_graph(seed=2)))["status"]["completed"]


def test_a_port_that_is_taken_is_an_oserror(server):
    with pytest.raises(OSError, match="address"):
        StandInComfyUI(port=server.port).start()
