"""Every way in which a WebSocket can go wrong."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from storycore_tts.testing.comfyui import (
    AbortSocket,
    CloseSocket,
    DropFrames,
    DuplicateFrames,
    RefuseSocket,
    SilenceSocket,
    StripPromptId,
    binary_frame,
    huge_frame,
    invalid_json,
    unknown_event,
)


def types(frames):
    return [frame["type"] for frame in frames]


async def test_refused(server, connect):
    server.faults.add(RefuseSocket(status=503))
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(server)
    assert refused.value.response.status_code == 503
    await connect(server)


async def test_closed_with_a_code(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(CloseSocket(code=1012, on="executing"))
    await client.submit(voice_graph())
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await client.frames_of_run()
    assert closed.value.rcvd.code == 1012


async def test_aborted_without_a_close_frame(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(AbortSocket(on="progress"))
    prompt_id = await client.submit(voice_graph())
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        await client.frames_of_run()
    assert closed.value.rcvd is None
    assert await server.log.until(lambda log: log.executed_ids == [prompt_id])


async def test_silent_but_open(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(SilenceSocket(on="execution_start"))
    prompt_id = await client.submit(voice_graph())
    assert await server.log.until(lambda log: log.executed_ids == [prompt_id])
    assert [(await client.frame())["type"] for _ in range(2)] == ["status", "status"]
    pong = await client.ws.ping()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(pong), 0.1)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.ws.recv(), 0.01)
    server.cut_sockets()  # it would not answer our close frame either


async def test_frames_that_come_twice(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(DuplicateFrames(on="executed"), DuplicateFrames(on="execution_success"))
    _, frames = await client.run(voice_graph())
    assert types(frames).count("executed") == 2
    assert types(frames).count("execution_success") == 2


async def test_frames_that_never_come(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(DropFrames(types=["executed", "execution_success"]))
    prompt_id, frames = await client.run(voice_graph())
    assert not {"executed", "execution_success"} & set(types(frames))
    assert (await client.history(prompt_id))[prompt_id]["status"]["completed"]


async def test_executing_without_a_prompt_id(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(StripPromptId())
    _, frames = await client.run(voice_graph())
    executing = [frame["data"] for frame in frames if frame["type"] == "executing"]
    assert [data["node"] for data in executing] == ["1", "2", None]
    assert not any("prompt_id" in data for data in executing)


async def test_an_unknown_event(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(unknown_event(on="execution_start"))
    _, frames = await client.run(voice_graph())
    assert types(frames)[2:4] == ["standin_unknown_event", "execution_start"]


async def test_frames_that_are_no_events(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(binary_frame(on="execution_start"), invalid_json(on="execution_cached"))
    await client.submit(voice_graph())
    messages = [await client.ws.recv() for _ in range(6)]
    assert isinstance(messages[2], bytes)
    assert json.loads(messages[3])["type"] == "execution_start"
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(messages[4])


async def test_a_frame_beyond_a_clients_limit(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(huge_frame(on="execution_start"))
    _, frames = await client.run(voice_graph())
    (huge,) = [frame for frame in frames if frame["type"] == "qwen3tts_training_update"]
    assert len(huge["data"]["audio_base64"]) > 5_000_000

    server.faults.add(huge_frame(on="status", client_id="small"))
    address = server.url.replace("http", "ws") + "/ws?clientId=small"
    async with websockets.connect(address, proxy=None) as ws:
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await ws.recv()
        assert closed.value.sent.code == 1009


async def test_a_fault_can_be_meant_for_one_client(server, connect, voice_graph):
    ann, bob = await connect(server, "ann"), await connect(server, "bob")
    server.faults.add(CloseSocket(client_id="bob"))
    await ann.run(voice_graph())
    with pytest.raises(websockets.ConnectionClosed):
        await bob.frame()


async def test_a_restart_cuts_sockets_and_forgets(server, connect, voice_graph):
    client = await connect(server)
    prompt_id, _ = await client.run(voice_graph())
    gate = server.faults.hold("running")
    lost = await client.submit(voice_graph(seed=2))
    assert await asyncio.to_thread(gate.reached.wait, 5)
    waiting = await client.submit(voice_graph(seed=3))

    url = server.url
    await asyncio.to_thread(server.restart)
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        await client.frames_of_run()
    assert closed.value.rcvd is None
    assert server.url == url
    again = await connect(server)
    assert (await again.http.get("/history")).json() == {}
    assert (await again.http.get("/queue")).json() == {"queue_running": [], "queue_pending": []}
    for gone in (prompt_id, lost, waiting):
        assert await again.history(gone) == {}
    assert server.log.submitted == [prompt_id, lost, waiting]
    assert server.log.executions(waiting) == 0
    assert (await again.outcome(voice_graph()))["status"]["completed"]
