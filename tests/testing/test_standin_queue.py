"""The queue, interruptions and the history."""

from __future__ import annotations

import asyncio

from storycore_tts.testing.comfyui import StandInComfyUI


async def reached(gate):
    assert await asyncio.to_thread(gate.reached.wait, 5)


async def test_jobs_run_one_by_one_and_lower_numbers_first(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("running")
    first = await client.submit(voice_graph(seed=1))
    await reached(gate)
    second = await client.submit(voice_graph(seed=2))
    front = await client.submit(voice_graph(seed=3), front=True)
    lowest = await client.submit(voice_graph(seed=4), number=-50)

    queue = (await client.http.get("/queue")).json()
    assert queue["queue_running"] == [[0, first, voice_graph(seed=1), {"client_id": "ann"}, ["2"]]]
    assert {entry[1] for entry in queue["queue_pending"]} == {second, front, lowest}
    assert queue["queue_pending"][0][:2] == [-50.0, lowest]
    info = (await client.http.get("/prompt")).json()
    assert info == {"exec_info": {"queue_remaining": 4}}

    gate.release()
    assert await server.log.until(lambda log: len(log.executed_ids) == 4)
    assert server.log.executed_ids == [first, lowest, front, second]
    assert (await client.http.get("/queue")).json() == {"queue_running": [], "queue_pending": []}


async def test_a_deleted_job_leaves_no_trace(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("running")
    running = await client.submit(voice_graph(seed=1))
    await reached(gate)
    waiting = await client.submit(voice_graph(seed=2))

    for prompt_id in (waiting, running, "nope"):
        answer = await client.http.post("/queue", json={"delete": [prompt_id]})
        assert (answer.status_code, answer.text) == (200, "")
    gate.release()
    frames = await client.frames_of_run()

    assert server.log.deleted == [waiting]  # a running job is not touched
    assert waiting not in str(frames)
    assert await client.history(waiting) == {}
    assert (await client.history(running))[running]["status"]["status_str"] == "success"


async def test_a_job_that_is_deleted_while_it_is_held_never_runs(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("queue")
    gone = await client.submit(voice_graph(seed=1))
    await reached(gate)
    kept = await client.submit(voice_graph(seed=2))
    await client.http.post("/queue", json={"delete": [gone]})
    gate.release()
    assert await server.log.until(lambda log: log.executed_ids)
    assert (server.log.deleted, server.log.executed_ids) == ([gone], [kept])


async def test_an_interruption_takes_effect_when_the_call_returns(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("running")
    prompt_id = await client.submit(voice_graph())
    await reached(gate)
    for requested in ("another", prompt_id):  # the first one does nothing
        answer = await client.http.post("/interrupt", json={"prompt_id": requested})
        assert (answer.status_code, answer.text) == (200, "")
        assert server.log.interrupted == []
    gate.release()
    frames = await client.frames_of_run()

    interrupted = frames[-3]["data"]
    types = [frame["type"] for frame in frames[-3:]]
    assert types == ["execution_interrupted", "status", "executing"]
    assert interrupted == {
        "prompt_id": prompt_id,
        "node_id": "1",
        "node_type": "FB_Qwen3TTSCustomVoice",
        "executed": [],
        "timestamp": interrupted["timestamp"],
    }
    assert 3 not in [f["data"]["value"] for f in frames if f["type"] == "progress"]
    entry = (await client.history(prompt_id))[prompt_id]
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["messages"][-1] == ["execution_interrupted", interrupted]
    assert entry["outputs"] == {}
    assert server.log.interrupted == [prompt_id]
    assert server.log.interrupt_requests == ["another", prompt_id]


async def test_an_interruption_without_an_id_hits_whatever_runs(server, connect, voice_graph):
    client = await connect(server)
    await client.http.post("/interrupt")  # idle: forgotten when the next job starts
    gate = server.faults.hold("running", after=1)
    harmless, _ = await client.run(voice_graph(seed=1))
    hit = await client.submit(voice_graph(seed=2))
    await reached(gate)
    await client.http.post("/interrupt")
    gate.release()
    await client.frames_of_run()
    assert server.log.interrupted == [hit]
    assert (await client.history(harmless))[harmless]["status"]["status_str"] == "success"


async def test_history_is_empty_until_a_run_has_ended(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("history")
    prompt_id = await client.submit(voice_graph())
    await client.frames_until("execution_success")
    await reached(gate)
    assert await client.history(prompt_id) == {}
    gate.release()
    await client.frames_of_run()
    assert list(await client.history(prompt_id)) == [prompt_id]
    assert await client.history("unknown") == {}


async def test_a_prompt_id_that_is_used_again_overwrites_its_entry(server, connect, voice_graph):
    client = await connect(server)
    for seed in (1, 2):
        prompt_id, _ = await client.run(voice_graph(seed=seed), prompt_id="any string will do")
        assert prompt_id == "any string will do"
    entry = (await client.history(prompt_id))[prompt_id]
    assert entry["prompt"][2]["1"]["inputs"]["seed"] == 2
    assert server.log.executions(prompt_id) == 2


async def test_history_is_forgotten_beyond_its_limit(connect, voice_graph):
    with StandInComfyUI(instant=True, history_limit=2) as server:
        client = await connect(server)
        ids = [(await client.run(voice_graph(seed=seed)))[0] for seed in range(3)]
        assert list((await client.http.get("/history")).json()) == ids[1:]
        newest = (await client.http.get("/history", params={"max_items": 1})).json()
        assert list(newest) == ids[2:]
        await client.http.post("/history", json={"delete": [ids[1]]})
        assert list((await client.http.get("/history")).json()) == ids[2:]
        await client.http.post("/history", json={"clear": True})
        assert (await client.http.get("/history")).json() == {}
