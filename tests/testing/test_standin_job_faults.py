"""Every way in which a job can go wrong."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from storycore_tts.testing.comfyui import (
    DeletedByAnother,
    DiskFull,
    EmptyFile,
    HistoryEmpty,
    HistoryLost,
    HistoryStatusNull,
    InterruptedByAnother,
    NodeError,
    OutputDeleted,
    OutputsMissing,
    QueueCleared,
    QuietAudio,
    RunawayAudio,
    SilentAudio,
    SlowModelLoad,
    TruncatedFile,
    out_of_memory,
)


async def test_a_node_raises(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(NodeError(exception_type="ValueError", message="Bad weather"))
    error = await client.error(voice_graph())
    assert error["node_id"] == "1"
    assert (error["exception_type"], error["exception_message"]) == ("ValueError", "Bad weather\n")
    assert (await client.outcome(voice_graph()))["status"]["completed"]


async def test_a_node_of_a_kind_raises(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(NodeError(node_type="SaveAudio"))
    assert (await client.error(voice_graph()))["node_id"] == "2"


async def test_cuda_runs_out_of_memory(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(out_of_memory(prompt_id="second"))
    _, frames = await client.run(voice_graph(seed=1), prompt_id="first")
    assert frames[-3]["type"] == "execution_success"
    _, frames = await client.run(voice_graph(seed=2), prompt_id="second")
    assert frames[-3]["data"]["exception_type"] == "torch.OutOfMemoryError"
    assert frames[-3]["data"]["exception_message"].startswith("CUDA out of memory. Tried to")


async def test_interrupted_by_another(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(InterruptedByAnother())
    prompt_id, _ = await client.run(voice_graph())
    assert server.log.interrupted == [prompt_id]
    assert server.log.interrupt_requests == []


async def test_deleted_by_another(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(DeletedByAnother())
    gone = await client.submit(voice_graph())
    kept, _ = await client.run(voice_graph())
    assert server.log.deleted == [gone]
    assert server.log.executed_ids == [kept]
    assert await client.history(gone) == {}


async def test_the_queue_is_cleared_by_another(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("queue")
    server.faults.add(QueueCleared(after=1))
    first = await client.submit(voice_graph(seed=1))
    second = await client.submit(voice_graph(seed=2))
    gate.release()
    assert server.log.deleted == [first, second]
    third, _ = await client.run(voice_graph(seed=3))
    assert server.log.executed_ids == [third]


async def test_jobs_can_be_held_in_the_queue(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("queue")
    prompt_id = await client.submit(voice_graph())
    assert await server.log.until(lambda log: gate.reached.is_set())
    queue = (await client.http.get("/queue")).json()
    assert [entry[1] for entry in queue["queue_pending"]] == [prompt_id]
    server.release_all()
    await client.frames_of_run()


async def test_a_model_that_loads_slowly(server, connect, voice_graph):
    client = await connect(server)
    gate = server.faults.hold("loading")
    prompt_id = await client.submit(voice_graph())
    assert await server.log.until(lambda log: gate.reached.is_set())
    assert server.log.model_loads == []
    gate.release()
    await client.frames_of_run()
    server.faults.add(SlowModelLoad(seconds=0.05))
    _, frames = await client.run(voice_graph(model_choice="0.6B"))
    times = {f["type"]: f["data"]["timestamp"] for f in frames if "timestamp" in f["data"]}
    assert times["execution_success"] - times["execution_start"] >= 49
    assert prompt_id in server.log.executed_ids


@pytest.mark.parametrize(("fault", "peak"), [(SilentAudio(), 0.0), (QuietAudio(peak=0.001), 0.001)])
async def test_audio_that_cannot_be_heard(server, connect, voice_graph, fault, peak):
    client = await connect(server)
    server.faults.add(fault)
    samples = await client.audio(voice_graph())
    assert np.abs(samples).max() == pytest.approx(peak, abs=1e-4)


async def test_audio_that_finds_no_end(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(RunawayAudio())
    samples = await client.audio(voice_graph(max_new_tokens=1024))
    assert len(samples) / 24_000 == 1024 / 12.5
    assert np.abs(samples).max() > 0.05


async def test_the_disk_is_full(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(DiskFull())
    error = await client.error(voice_graph())
    assert error["node_type"] == "SaveAudio"
    assert error["exception_type"] == "OSError"
    assert error["exception_message"] == "[Errno 28] No space left on device\n"


async def test_a_file_that_is_truncated(speaking, connect, voice_graph):
    client = await connect(speaking)
    whole = await client.file(voice_graph(seed=1))
    speaking.faults.add(TruncatedFile(keep=0.5))
    data = await client.file(voice_graph(seed=1, prefix="lab/half"))
    assert data.startswith(b"fLaC")
    assert len(data) < 0.6 * len(whole)
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(io.BytesIO(data[:1000]))


async def test_a_file_that_is_empty(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(EmptyFile())
    assert await client.file(voice_graph()) == b""


@pytest.mark.parametrize("which", ["server", "speaking"])
async def test_a_file_that_is_gone(request, connect, voice_graph, which):
    running = request.getfixturevalue(which)
    client = await connect(running)
    running.faults.add(OutputDeleted())
    entry = await client.outcome(voice_graph())
    assert entry["status"]["completed"]
    (file,) = entry["outputs"]["2"]["audio"]
    assert (await client.http.get("/view", params=file)).status_code == 404


async def test_outputs_that_are_missing(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(OutputsMissing())
    prompt_id, frames = await client.run(voice_graph())
    assert "executed" not in [frame["type"] for frame in frames]
    entry = (await client.history(prompt_id))[prompt_id]
    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"] == {}


async def test_a_history_without_status(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(HistoryStatusNull())
    entry = await client.outcome(voice_graph())
    assert entry["status"] is None
    assert entry["outputs"]


async def test_a_history_that_is_late(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(HistoryEmpty(times=2))
    prompt_id, _ = await client.run(voice_graph())
    answers = [await client.history(prompt_id) for _ in range(3)]
    assert answers[:2] == [{}, {}]
    assert list(answers[2]) == [prompt_id]


async def test_a_history_that_is_lost(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(HistoryLost())
    prompt_id, _ = await client.run(voice_graph())
    assert await client.history(prompt_id) == {}
    assert server.log.executed_ids == [prompt_id]


async def test_the_log_tells_which_faults_struck(server, connect, voice_graph):
    client = await connect(server)
    server.faults.add(HistoryLost(), SilentAudio(prompt_id="another"))
    await client.run(voice_graph())
    assert [r.fault for r in server.log.records if r.kind == "FaultUsed"] == ["HistoryLost"]
    assert server.faults.pending == [SilentAudio(prompt_id="another")]
