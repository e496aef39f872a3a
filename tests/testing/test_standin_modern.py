"""What ComfyUI of 2026 does differently."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.nodes import ModelSlot, NodeRun

ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def modern():
    with StandInComfyUI(instant=True, modern=True) as running:
        yield running


async def test_a_canonical_uuid_is_taken_and_nothing_else(modern, connect, voice_graph):
    client = await connect(modern)
    assert await client.submit(voice_graph(), prompt_id=ID) == ID
    prompt_id = await client.submit(voice_graph())
    assert str(uuid.UUID(prompt_id)) == prompt_id
    for wrong in ("my-job", str(uuid.UUID(int=2**127)).upper() + "A", 7):
        body = {"prompt": voice_graph(), "prompt_id": wrong}
        answer = await client.http.post("/prompt", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_prompt_id"
    assert modern.log.submitted == [ID, prompt_id]


async def test_an_unknown_node_has_its_own_error(modern, connect, voice_graph):
    client = await connect(modern)
    graph = voice_graph()
    graph["1"]["class_type"] = "NoSuchNode"
    answer = await client.http.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 400
    body = answer.json()
    assert body["node_errors"] == {}
    assert body["error"]["type"] == "missing_node_type"
    assert body["error"]["extra_info"]["class_type"] == "NoSuchNode"


async def test_a_null_executing_follows_an_error(modern, connect, voice_graph):
    client = await connect(modern)
    await client.submit(voice_graph(text=""))
    await client.frames_until("execution_error")
    frames = await client.frames_until("executing")
    assert frames[-1]["data"]["node"] is None


@pytest.mark.parametrize(("modern", "steps"), [(False, [1, 2, 3, 4]), (True, [1, 3, 4])])
def test_progress_is_throttled(modern, steps):
    with StandInComfyUI(instant=True, modern=modern) as server:
        reported, times = [], iter([0.0, 0.09, 0.11, 0.12])
        run = NodeRun(
            server=server, model=ModelSlot(), prompt_id=ID, client_id=None, node_id="1",
            node_type="", graph={}, report=lambda value, total: reported.append(value),
            check_interrupt=lambda: None, interrupt=lambda: None, clock=lambda: next(times),
        )  # fmt: skip
        for step in (1, 2, 3, 4):
            run.progress(step, 4)
    assert reported == steps


async def test_files_are_named_without_a_trailing_underscore(modern, connect, voice_graph):
    client = await connect(modern)
    outputs = (await client.outcome(voice_graph()))["outputs"]
    assert outputs["2"]["audio"][0]["filename"].endswith("_00001.flac")


async def test_several_jobs_are_cancelled_at_once(modern, held):
    client, gate, running, waiting = held

    async def cancel(*ids):
        return await client.http.post("/api/jobs/cancel", json={"job_ids": list(ids)})

    assert (await cancel("no-uuid")).json()["invalid_ids"] == ["no-uuid"]
    assert (await cancel(ID)).json() == {"cancelled": False}
    assert (await cancel(ID, running, waiting)).json() == {"cancelled": True}
    gate.release()
    assert await modern.log.until(lambda log: log.interrupted == [running])
    assert modern.log.deleted == [waiting]


@pytest.fixture
async def held(modern, connect, voice_graph):
    """A client, a gate, the job that stands at it, and one that waits."""
    client = await connect(modern)
    gate = modern.faults.hold("running")
    running = await client.submit(voice_graph(seed=1))
    assert await asyncio.to_thread(gate.reached.wait, 5)
    return client, gate, running, await client.submit(voice_graph(seed=2))


async def test_a_job_can_be_looked_up(modern, held):
    client, gate, running, waiting = held

    async def job(prompt_id):
        return (await client.http.get(f"/api/jobs/{prompt_id}")).json()

    assert (await job(running))["status"] == "in_progress"
    assert (await job(waiting))["status"] == "pending"
    gate.release()
    assert await modern.log.until(lambda log: len(log.executed_ids) == 2)
    done = await job(running)
    assert done["status"] == "completed"
    assert done["outputs"]["2"]["audio"][0]["type"] == "output"
    assert done["preview_output"]["nodeId"] == "2"
    assert done["execution_start_time"] >= done["create_time"]
    assert done["execution_end_time"] >= done["execution_start_time"]
    listed = (await client.http.get("/api/jobs")).json()
    assert {item["id"] for item in listed["jobs"]} == {running, waiting}
    assert listed["pagination"]["total"] == 2


async def test_jobs_can_be_cancelled(modern, held):
    client, gate, running, waiting = held

    async def cancel(prompt_id):
        return await client.http.post(f"/api/jobs/{prompt_id}/cancel")

    assert (await cancel(waiting)).json() == {"cancelled": True}
    assert (await cancel(running)).json() == {"cancelled": True}
    gate.release()
    assert await modern.log.until(lambda log: log.interrupted == [running])
    assert modern.log.deleted == [waiting]
    assert (await cancel(running)).json() == {"cancelled": False}
    assert (await client.http.get(f"/api/jobs/{running}")).json()["status"] == "cancelled"
    assert (await cancel(ID)).json() == {"cancelled": False}
