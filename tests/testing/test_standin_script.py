"""How a script says what goes wrong and when; what each fault does to callers: tests/faults."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import pytest
import websockets

from storycore_tts.testing.comfyui import (
    Answer,
    CloseSocket,
    Hang,
    InjectFrame,
    InputLimits,
    NodeError,
    SilenceSocket,
    SpeakerList,
)
from storycore_tts.testing.comfyui.faults import KINDS, fault_from_json, fault_to_json
from storycore_tts.testing.comfyui.log import FaultUsed


async def test_faults_strike_in_their_order(server, connect):
    client = await connect(server)
    server.faults.add(
        Answer(path="/queue", status=429, body="slow down", headers={"Retry-After": "3"}),
        Answer(path="/queue", status=502, body="<html>", content_type="text/html"),
    )
    first, second, third = [await client.http.get("/queue") for _ in range(3)]
    assert (first.status_code, first.text, first.headers["retry-after"]) == (429, "slow down", "3")
    assert (second.status_code, second.headers["content-type"]) == (502, "text/html")
    assert third.status_code == 200
    assert server.faults.pending == []


async def test_times_after_and_path_say_when_and_some_last_until_they_are_cleared(server, connect):
    client = await connect(server)
    server.faults.add(Answer(path="/history/*", status=500, times=2, after=1))
    codes = [(await client.http.get("/history/x")).status_code for _ in range(5)]
    assert codes == [200, 500, 500, 200, 200]
    server.faults.add(Answer(path="/prompt", method="POST", status=500))
    assert (await client.http.get("/prompt")).status_code == 200

    server.faults.add(Answer(path="/queue", status=503, times=None))
    assert {(await client.http.get("/queue")).status_code for _ in range(3)} == {503}
    server.faults.clear()
    assert (await client.http.get("/queue")).status_code == 200


async def test_a_fault_can_be_meant_for_one_client_one_job_or_one_node(
    server, connect, voice_graph
):
    ann, bob = await connect(server, "ann"), await connect(server, "bob")
    server.faults.add(
        CloseSocket(client_id="bob", code=1012),
        NodeError(prompt_id="second", message="Bad weather"),
        NodeError(prompt_id="third", node_type="SaveAudio"),
        NodeError(prompt_id="another"),
    )
    assert (await ann.outcome(voice_graph(seed=1)))["status"]["completed"]
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await bob.frame()
    assert closed.value.rcvd.code == 1012
    failed = []
    for prompt_id in ("second", "third"):
        _, frames = await ann.run(voice_graph(seed=2), prompt_id=prompt_id)
        failed += [frame["data"] for frame in frames if frame["type"] == "execution_error"]
    assert [error["node_id"] for error in failed] == ["1", "2"]
    assert Counter(record.fault for record in server.log.of(FaultUsed))["NodeError"] == 2
    assert server.faults.pending == [NodeError(prompt_id="another")]
    assert failed[0]["exception_message"] == "Bad weather\n"


async def test_what_the_server_has_can_be_changed(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(
        SpeakerList(speakers=["Emma", "Ryan"]),
        InputLimits(input="max_new_tokens", minimum=64, maximum=1024),
    )
    info = (await client.http.get("/object_info/FB_Qwen3TTSCustomVoice")).json()
    inputs = info["FB_Qwen3TTSCustomVoice"]["input"]
    assert inputs["required"]["speaker"][0] == ["Emma", "Ryan"]
    limits = inputs["optional"]["max_new_tokens"][1]
    assert (limits["min"], limits["max"]) == (64, 1024)
    mine = voice_graph(speaker="Emma", max_new_tokens=64)
    assert (await client.outcome(mine))["status"]["completed"]
    for wrong in ({"speaker": "Vivian"}, {"max_new_tokens": 2048}):
        answer = await client.http.post("/prompt", json={"prompt": voice_graph(**wrong)})
        assert answer.status_code == 400


async def test_a_silent_socket_answers_no_ping(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(SilenceSocket(on="execution_start"))
    prompt_id = await client.submit(voice_graph())
    assert await server.log.until(lambda log: log.executed_ids == [prompt_id])
    assert [(await client.frame())["type"] for _ in range(2)] == ["status", "status"]
    pong = await client.ws.ping()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(pong), 0.05)
    server.cut_sockets()  # it would not answer our close frame either


async def test_a_job_waits_at_a_gate(server, connect, voice_graph):
    client = await connect(server)
    for at in ("queue", "loading", "running"):
        gate = server.faults.hold(at)
        prompt_id = await client.submit(voice_graph())
        assert await server.log.until(lambda log, gate=gate: gate.reached.is_set())
        queue = (await client.http.get("/queue")).json()
        where = "queue_pending" if at == "queue" else "queue_running"
        assert [entry[1] for entry in queue[where]] == [prompt_id]
        assert prompt_id not in server.log.executed_ids
        gate.release()
        await client.frames_of_run()
        await client.http.post("/free", json={"free_memory": True})


async def test_a_hanging_request_does_not_keep_the_server_from_stopping(server, connect):
    client = await connect(server)
    server.faults.add(Hang(path="/queue"))
    hanging = asyncio.create_task(client.http.get("/queue"))
    assert await server.log.until(FaultUsed)
    await asyncio.to_thread(server.stop)
    with pytest.raises(httpx.TransportError):
        await hanging


def test_every_fault_survives_the_wire():
    for fault in [*(kind() for kind in KINDS.values()), InjectFrame(frame=b"\x00\xff")]:
        assert fault_from_json(json.loads(json.dumps(fault_to_json(fault)))) == fault
