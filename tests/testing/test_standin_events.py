"""The order and the shape of frames, as they were recorded from ComfyUI 0.3.64."""

from __future__ import annotations

import asyncio
import json

import pytest


def shape(frame):
    """A frame in short, without ids and times."""
    data = frame["data"]
    match frame["type"]:
        case "status":
            return ("status", data["status"]["exec_info"]["queue_remaining"])
        case "execution_cached":
            return ("execution_cached", data["nodes"])
        case "progress_state":
            nodes = data["nodes"].items()
            return ("progress_state", {i: (n["value"], n["max"], n["state"]) for i, n in nodes})
        case "executing":
            return ("executing", data["node"])
        case "progress":
            return ("progress", data["value"], data["max"], data["node"])
        case "executed":
            return ("executed", data["node"], data["output"])
        case other:
            return (other,)


FILE = {"audio": [{"filename": "cv_00001_.flac", "subfolder": "lab", "type": "output"}]}


async def test_a_run_sends_its_frames_in_the_recorded_order_and_leaves_an_entry(
    server, connect, voice_graph
):
    client = await connect(server)
    prompt_id, frames = await client.run(voice_graph())

    assert [shape(frame) for frame in frames] == [
        ("status", 1),
        ("status", 1),
        ("execution_start",),
        ("execution_cached", []),
        ("progress_state", {"1": (0.0, 1.0, "running")}),
        ("executing", "1"),
        ("progress_state", {"1": (1, 3, "running")}),
        ("progress", 1, 3, "1"),
        ("progress_state", {"1": (2, 3, "running")}),
        ("progress", 2, 3, "1"),
        ("progress_state", {"1": (3, 3, "running")}),
        ("progress", 3, 3, "1"),
        ("progress_state", {"1": (3, 3, "finished")}),
        ("progress_state", {"1": (3, 3, "finished"), "2": (0.0, 1.0, "running")}),
        ("executing", "2"),
        ("executed", "2", FILE),
        ("progress_state", {"1": (3, 3, "finished"), "2": (1.0, 1.0, "finished")}),
        ("execution_success",),
        ("status", 0),
        ("executing", None),
    ]
    assert {f["data"]["prompt_id"] for f in frames if f["type"] != "status"} == {prompt_id}

    sent = {frame["type"]: frame["data"] for frame in frames}
    assert await client.history(prompt_id) == {
        prompt_id: {
            "prompt": [0, prompt_id, voice_graph(), {"client_id": "ann"}, ["2"]],
            "outputs": {"2": FILE},
            "status": {
                "status_str": "success",
                "completed": True,
                "messages": [
                    [event, sent[event]]
                    for event in ("execution_start", "execution_cached", "execution_success")
                ],
            },
            "meta": {
                "2": {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}
            },
        }
    }
    assert isinstance(sent["execution_success"]["timestamp"], int)


async def test_the_same_graph_again_is_served_from_the_cache_and_the_voice_for_another_prefix(
    server, connect, voice_graph
):
    client = await connect(server)
    await client.run(voice_graph())
    prompt_id, frames = await client.run(voice_graph())

    assert [shape(frame) for frame in frames] == [
        ("status", 1),
        ("status", 1),
        ("execution_start",),
        ("execution_cached", ["1", "2"]),
        ("executed", "2", FILE),
        ("progress_state", {"2": (1, 1, "finished")}),
        ("execution_success",),
        ("status", 0),
        ("executing", None),
    ]
    assert (await client.history(prompt_id))[prompt_id]["outputs"] == {"2": FILE}

    prompt_id, frames = await client.run(voice_graph(prefix="lab/other"))
    shapes = [shape(frame) for frame in frames]
    assert ("execution_cached", ["1"]) in shapes
    assert ("executing", "1") not in shapes
    (file,) = (await client.history(prompt_id))[prompt_id]["outputs"]["2"]["audio"]
    assert file["filename"] == "other_00001_.flac"


async def test_a_new_upload_of_the_same_name_is_not_cached(speaking, connect, clone_graph, wav):
    client = await connect(speaking)
    await client.upload("ref.wav", wav(hertz=220))
    await client.run(clone_graph())
    await client.upload("ref.wav", wav(hertz=330), overwrite="true")
    _, frames = await client.run(clone_graph())
    assert ("execution_cached", []) in [shape(frame) for frame in frames]


async def test_others_see_the_status_only(server, connect, voice_graph):
    ann, bob = await connect(server, "ann"), await connect(server, "bob")
    await ann.run(voice_graph())
    assert [shape(await bob.frame()) for _ in range(3)] == [("status", n) for n in (1, 1, 0)]
    await bob.submit(voice_graph(seed=2))
    assert shape(await bob.frame()) == ("status", 1)  # nothing of Ann's lay in between


async def test_without_a_client_id_everybody_sees_progress_and_nobody_the_rest(
    server, connect, voice_graph
):
    bob = await connect(server, "bob")
    await bob.http.post("/prompt", json={"prompt": voice_graph()})
    frames = [await bob.frame() for _ in range(2)]
    while shape(frames[-1]) != ("status", 0):
        frames.append(await bob.frame())
    assert {frame["type"] for frame in frames} == {"status", "progress_state", "progress"}


async def test_a_failure_is_reported_with_the_nodes_inputs(server, connect, voice_graph):
    client = await connect(server)
    prompt_id, frames = await client.run(voice_graph(text=""))

    assert [shape(frame) for frame in frames] == [
        ("status", 1),
        ("status", 1),
        ("execution_start",),
        ("execution_cached", []),
        ("progress_state", {"1": (0.0, 1.0, "running")}),
        ("executing", "1"),
        ("execution_error",),
        ("status", 0),
        ("executing", None),
    ]
    error = frames[6]["data"]
    assert set(error) == {
        "prompt_id", "node_id", "node_type", "executed", "exception_message", "exception_type",
        "traceback", "current_inputs", "current_outputs", "timestamp",
    }  # fmt: skip
    assert error["node_type"] == "FB_Qwen3TTSCustomVoice"
    assert error["exception_message"] == "Text is required\n"
    assert error["exception_type"] == "RuntimeError"
    assert (error["current_inputs"]["speaker"], error["executed"]) == (["Ryan"], [])
    status = (await client.history(prompt_id))[prompt_id]["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert status["messages"][-1] == ["execution_error", error]


async def test_feature_flags_are_answered(server, connect):
    client = await connect(server)
    await client.ws.send(json.dumps({"type": "feature_flags", "data": {}}))
    assert await client.frame() == {
        "type": "feature_flags",
        "data": {"supports_preview_metadata": True, "max_upload_size": 104857600},
    }


async def test_a_reconnection_hears_the_node_without_a_prompt_id(server, connect, voice_graph):
    gate = server.faults.hold("running")
    first = await connect(server)
    await first.submit(voice_graph())
    assert await asyncio.to_thread(gate.reached.wait, 5)
    await first.ws.close()
    await server.log.until(lambda log: log.open_sockets == 0)

    again = await connect(server, greeted=False)
    assert await again.frame() == {
        "type": "status",
        "data": {"status": {"exec_info": {"queue_remaining": 1}}, "sid": "ann"},
    }
    assert await again.frame() == {"type": "executing", "data": {"node": "1"}}
    gate.release()
    frames = await again.frames_of_run()
    assert [frame["type"] for frame in frames][-2:] == ["status", "executing"]
    assert "executed" in [frame["type"] for frame in frames]


async def test_the_second_socket_of_an_id_goes_deaf_when_the_first_closes(
    server, connect, voice_graph
):
    first = await connect(server, "ann")
    second = await connect(server, "ann")
    await first.ws.close()
    await server.log.until(lambda log: log.open_sockets == 1)

    bob = await connect(server, "bob")
    prompt_id = await second.submit(voice_graph())
    assert await server.log.until(lambda log: prompt_id in log.executed_ids)
    assert [shape(await bob.frame()) for _ in range(3)][-1] == ("status", 0)
    # It is open and answers pings, yet nothing of all that has come.
    await (await second.ws.ping())
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(second.ws.recv(), 0.05)
