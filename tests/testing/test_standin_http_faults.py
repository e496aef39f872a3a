"""Every way in which an HTTP request can go wrong."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from storycore_tts.testing.comfyui import (
    Answer,
    CorruptBody,
    CutBody,
    Delay,
    Hang,
    ResetAfter,
    ResetBefore,
    WrongLength,
)

IMPATIENT = httpx.Timeout(10, read=0.05)
CV = {"filename": "cv_00001_.flac", "subfolder": "lab", "type": "output"}


async def test_an_answer_of_another_kind(server, connect):
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


async def test_times_after_and_path_say_when(server, connect):
    client = await connect(server)
    server.faults.add(Answer(path="/history/*", status=500, times=2, after=1))
    codes = [(await client.http.get("/history/x")).status_code for _ in range(5)]
    assert codes == [200, 500, 500, 200, 200]
    server.faults.add(Answer(path="/prompt", method="POST", status=500))
    assert (await client.http.get("/prompt")).status_code == 200


async def test_a_fault_for_ever_lasts_until_it_is_cleared(server, connect):
    client = await connect(server)
    server.faults.add(Answer(path="/queue", status=503, times=None))
    assert {(await client.http.get("/queue")).status_code for _ in range(3)} == {503}
    server.faults.clear()
    assert (await client.http.get("/queue")).status_code == 200


async def test_delay(server, connect):
    client = await connect(server)
    server.faults.add(Delay(path="/queue", seconds=30))
    with pytest.raises(httpx.ReadTimeout):
        await client.http.get("/queue", timeout=IMPATIENT)
    server.faults.add(Delay(path="/queue", seconds=0.01))
    assert (await client.http.get("/queue")).status_code == 200


async def test_hang(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(Hang(path="/prompt"))
    with pytest.raises(httpx.ReadTimeout):
        await client.http.post("/prompt", json={"prompt": voice_graph()}, timeout=IMPATIENT)
    assert server.log.submitted == []


async def test_reset_before_the_request_is_handled(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(ResetBefore(path="/prompt"))
    with pytest.raises(httpx.ReadError):
        await client.http.post("/prompt", json={"prompt": voice_graph()})
    assert server.log.submitted == []


async def test_reset_after_the_request_was_handled(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(ResetAfter(path="/prompt"))
    with pytest.raises(httpx.ReadError):
        await client.http.post("/prompt", json={"prompt": voice_graph(), "prompt_id": "mine"})
    assert await server.log.until(lambda log: log.executed_ids == ["mine"])


async def test_a_body_that_is_cut(server, connect, voice_graph):
    client = await connect(server)
    await client.run(voice_graph())
    server.faults.add(CutBody(path="/view", keep=0.5))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.http.get("/view", params=CV)


async def test_a_length_that_is_wrong(server, connect, voice_graph):
    client = await connect(server)
    await client.run(voice_graph())
    whole = (await client.http.get("/view", params=CV)).content
    server.faults.add(WrongLength(path="/view", by=100), WrongLength(path="/view", by=-100))
    with pytest.raises(httpx.RemoteProtocolError):
        await client.http.get("/view", params=CV)
    shorter = await client.http.get("/view", params=CV)
    assert shorter.content == whole[:-100]


async def test_bytes_that_are_corrupt(server, connect, voice_graph):
    client = await connect(server)
    await client.run(voice_graph())
    whole = (await client.http.get("/view", params=CV)).content
    server.faults.add(CorruptBody(path="/view"))
    corrupt = (await client.http.get("/view", params=CV)).content
    assert len(corrupt) == len(whole)
    assert not corrupt.startswith(b"fLaC")


async def test_a_hanging_request_does_not_keep_the_server_from_stopping(server, connect):
    client = await connect(server)
    server.faults.add(Hang(path="/queue"))
    hanging = asyncio.create_task(client.http.get("/queue"))
    assert await server.log.until(lambda log: "Hang" in str(log.records))
    await asyncio.to_thread(server.stop)
    with pytest.raises(httpx.TransportError):
        await hanging
