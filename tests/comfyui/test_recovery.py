"""A server that dies, forgets or mumbles: right audio or a typed error, and nothing runs twice."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from uuid import uuid4

import numpy as np
import pytest

from storycore_tts import (
    BackendTimeout,
    BackendUnavailable,
    CloneRequest,
    GenerationFailed,
    JobCancelled,
    JobLost,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.adapters.comfyui.downloads import fetch_audio
from storycore_tts.adapters.comfyui.protocol.results import audio_output
from storycore_tts.testing.comfyui import (
    Answer,
    CorruptBody,
    CutBody,
    Delay,
    DeletedByAnother,
    DropFrames,
    Hang,
    HistoryLost,
    HistoryStatusNull,
    OutputsMissing,
    QueueCleared,
    RefuseSocket,
    ResetAfter,
    ResetBefore,
    StandInComfyUI,
    WrongLength,
)
from storycore_tts.testing.comfyui.log import FaultUsed

LINE = SpeechRequest("Hello, this is a test.", "Ryan")
AGAIN = "the ComfyUI server lost the job under way, and was given it again"


@pytest.fixture(autouse=True)
def _looks(look_often) -> None: ...


def is_the_tone(speech) -> bool:
    return speech.duration == pytest.approx(1.0, abs=0.01)


def reference() -> ReferenceAudio:
    tone = 0.3 * np.sin(np.arange(96_000) * 2 * np.pi * 220 / 24_000)
    return ReferenceAudio(tone.astype(np.float32))


async def runs(gate) -> None:
    assert await asyncio.to_thread(gate.reached.wait, 10)


# A doubtful submission


@pytest.mark.parametrize(
    "fault",
    [
        ResetBefore(path="/prompt", method="POST"),
        ResetBefore(path="/prompt", method="POST", times=2),
        Answer(path="/prompt", method="POST", status=500),
        Answer(path="/prompt", method="POST", status=502, body="<html>"),
        Answer(path="/prompt", method="POST", status=504),
        Answer(path="/prompt", method="POST", status=200, body="<html>"),
        Answer(path="/prompt", method="POST", status=200, body="{}"),
        Hang(path="/prompt", method="POST"),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{getattr(fault, 'status', fault.times)}",
)
async def test_a_submission_that_never_arrived_is_repeated(server, make_adapter, fault):
    server.faults.add(fault)
    speech = await asyncio.wait_for(make_adapter(server.url, request=1.5).synthesize(LINE), 15)
    assert is_the_tone(speech)
    assert server.log.submitted == [speech.job_id]
    assert speech.warnings == ()


@pytest.mark.parametrize(
    "fault",
    [
        ResetAfter(path="/prompt", method="POST"),
        CutBody(path="/prompt", method="POST"),
        CorruptBody(path="/prompt", method="POST"),
        Delay(path="/prompt", method="POST", seconds=2.0),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_submission_that_arrived_is_found_and_not_repeated(server, make_adapter, fault):
    server.faults.add(fault)
    speech = await asyncio.wait_for(make_adapter(server.url, request=1.5).synthesize(LINE), 15)
    assert is_the_tone(speech)
    assert server.log.submitted == [speech.job_id]
    assert server.log.executions(speech.job_id) == 1


async def test_a_submission_that_never_arrives_is_given_up_after_three(server, adapter):
    server.faults.add(Answer(path="/prompt", method="POST", status=502, times=None))
    with pytest.raises(BackendUnavailable, match="502") as failed:
        await asyncio.wait_for(adapter.synthesize(LINE), 15)
    assert not failed.value.retryable
    assert server.log.http_count("/prompt", "POST") == 3


async def test_a_submission_that_cannot_have_arrived_may_be_asked_again(server, adapter):
    await adapter.speakers()
    server.faults.add(Answer(path="/prompt", method="POST", status=503))
    with pytest.raises(BackendUnavailable) as failed:
        await asyncio.wait_for(adapter.synthesize(LINE), 15)
    assert failed.value.retryable
    assert server.log.http_count("/prompt", "POST") == 1


async def test_a_server_that_falls_silent_keeps_no_job_that_it_took(server, make_adapter):
    """Nobody can say whether it took the job: it is told to drop it as soon as it answers."""
    adapter = make_adapter(server.url, away=0.7, cancel=10.0)
    gate = server.faults.hold("queue")
    silent = Answer(path="/queue", method="GET", status=500, times=None)
    silent_jobs = Answer(path="/api/jobs/*", status=500, times=None)
    server.faults.add(ResetAfter(path="/prompt", method="POST"), silent, silent_jobs)
    with pytest.raises(BackendUnavailable, match="broke") as failed:
        await asyncio.wait_for(adapter.synthesize(LINE), 20)
    assert not failed.value.retryable
    server.faults.remove(silent)
    server.faults.remove(silent_jobs)
    assert await server.log.until(lambda log: log.deleted == log.submitted != [])
    gate.release()


# A server that forgets


async def test_a_restarted_server_is_given_the_job_again(server, adapter):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await runs(gate)
    await asyncio.to_thread(server.restart)
    speech = await asyncio.wait_for(call, 15)
    assert is_the_tone(speech)
    assert speech.warnings == (AGAIN,)
    assert server.log.submitted == [speech.job_id] * 2


async def test_a_clone_s_reference_is_uploaded_again(server, adapter):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(
        adapter.clone(CloneRequest("Hello.", reference(), x_vector_only=True))
    )
    await runs(gate)
    await asyncio.to_thread(server.restart)
    speech = await asyncio.wait_for(call, 15)
    assert is_the_tone(speech)
    assert AGAIN in speech.warnings
    assert len(server.log.uploads) == 2


async def test_a_training_is_given_again_too(server, adapter, tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.wav").touch()
        (tmp_path / f"{number}.txt").write_text("Words.", encoding="utf-8")
    gate = server.faults.hold("running")
    request = TrainingRequest(str(tmp_path), str(tmp_path / "out"), "hero", num_epochs=1)
    call = asyncio.ensure_future(adapter.train(request))
    await runs(gate)
    await asyncio.to_thread(server.restart)
    voice = await asyncio.wait_for(call, 15)
    assert voice.warnings == (AGAIN,)
    assert len(server.log.submitted) == 2


async def test_a_job_that_is_lost_twice_is_lost(server, adapter):
    gates = [server.faults.hold("running"), server.faults.hold("running")]
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    for gate in gates:
        await runs(gate)
        await asyncio.to_thread(server.restart)
    with pytest.raises(JobLost, match="twice") as lost:
        await asyncio.wait_for(call, 15)
    assert not lost.value.retryable
    assert len(server.log.submitted) == 2


@pytest.mark.parametrize("fault", [DeletedByAnother(), QueueCleared()])
async def test_a_job_that_somebody_removed_is_not_given_again(server, adapter, fault):
    server.faults.add(fault)
    with pytest.raises(JobCancelled, match="deleted the job from its queue") as removed:
        await asyncio.wait_for(adapter.synthesize(LINE), 15)
    assert not removed.value.retryable
    assert len(server.log.submitted) == 1


async def test_without_events_nobody_can_tell_a_removed_job_from_a_lost_one(server, adapter):
    server.faults.add(RefuseSocket(times=None), QueueCleared())
    speech = await asyncio.wait_for(adapter.synthesize(LINE), 15)
    assert is_the_tone(speech)
    assert speech.warnings == (AGAIN,)


async def test_a_job_that_ran_and_left_no_trace_is_not_run_again(server, adapter):
    server.faults.add(HistoryLost())
    with pytest.raises(JobLost, match="it ran") as lost:
        await asyncio.wait_for(adapter.synthesize(LINE), 15)
    assert not lost.value.retryable
    assert len(server.log.submitted) == 1


# History


HISTORY = {"path": "/history/*", "method": "GET"}


@pytest.mark.parametrize(
    "fault",
    [
        Delay(**HISTORY, seconds=2.0),
        Delay(**HISTORY, seconds=2.0, times=2),
        Answer(**HISTORY, status=200, body="null", times=2),
        Answer(**HISTORY, status=200, body="{}", times=2),
        Answer(**HISTORY, status=200, body='{"half":', times=2),
        CutBody(**HISTORY, times=2),
        CorruptBody(**HISTORY, times=2),
        WrongLength(**HISTORY, times=2),
        WrongLength(**HISTORY, by=-20, times=2),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{fault.times}",
)
@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
async def test_a_history_that_stumbles_costs_time_only(server, make_adapter, fault, told):
    server.faults.add(fault)
    if not told:
        ends = ("executing", "execution_success", "status")
        server.faults.add(DropFrames(types=ends, times=None))
    speech = await asyncio.wait_for(make_adapter(server.url, request=1.5).synthesize(LINE), 15)
    assert is_the_tone(speech)
    assert len(server.log.submitted) == 1


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"outputs": {}}, GenerationFailed),
        ({"outputs": {}, "status": {"status_str": "success", "completed": True}}, GenerationFailed),
        ({"status": {"status_str": "success", "completed": True}}, GenerationFailed),
        ("not an entry", JobLost),
    ],
)
async def test_a_history_that_tells_half_ends_in_a_typed_error(server, adapter, entry, error):
    job = str(uuid4())
    body = json.dumps({job: entry})
    # Passed over once: before it submits a job of a known id, the adapter asks for it.
    server.faults.add(Answer(**HISTORY, after=1, status=200, body=body, times=None))
    with pytest.raises(error) as failed:
        await asyncio.wait_for(adapter.synthesize(SpeechRequest("Hello.", "Ryan", job_id=job)), 15)
    assert not failed.value.retryable
    assert server.log.submitted == [job]


async def test_a_history_that_never_makes_sense_ends_in_time(server, make_adapter):
    server.faults.add(Answer(**HISTORY, status=200, body="<html>", times=None))
    with pytest.raises(BackendUnavailable, match="did not answer with JSON") as failed:
        await asyncio.wait_for(make_adapter(server.url, away=0.5).synthesize(LINE), 15)
    assert not failed.value.retryable


async def test_a_history_without_status_and_outputs(server, adapter):
    server.faults.add(HistoryStatusNull(), OutputsMissing())
    with pytest.raises(GenerationFailed, match="names no audio file"):
        await asyncio.wait_for(adapter.synthesize(LINE), 15)


# Downloads


async def finished(adapter: ComfyUIAdapter, server: StandInComfyUI):
    """Return a session, and a file that a job of it left on the server."""
    speech = await adapter.synthesize(LINE)
    session = adapter._session()
    entry = await session.http.history(speech.job_id)
    return session, audio_output(entry["outputs"])


async def test_a_download_waits_for_a_server_that_restarts(server, make_adapter):
    session, file = await finished(make_adapter(server.url, away=10.0), server)
    restart = asyncio.ensure_future(asyncio.to_thread(server.restart, down_seconds=1.0))
    while session.http.reachability.reachable.is_set():
        with suppress(BackendUnavailable):
            await session.http.queue()
    assert len(await asyncio.wait_for(fetch_audio(session, file), 10)) > 0
    await restart
    assert len(server.log.submitted) == 1


async def test_a_download_from_a_server_that_is_gone_ends(server, make_adapter):
    session, file = await finished(make_adapter(server.url, away=0.5), server)
    await asyncio.to_thread(server.stop)
    with pytest.raises(BackendUnavailable) as failed:
        await asyncio.wait_for(fetch_audio(session, file), 15)
    assert not failed.value.retryable


async def test_a_cut_upload_may_be_asked_again(server, adapter):
    server.faults.add(ResetAfter(path="/upload/image"))
    with pytest.raises(BackendUnavailable) as failed:
        await adapter.clone(CloneRequest("Hello.", reference(), x_vector_only=True))
    assert failed.value.retryable
    assert server.log.submitted == []


# Clocks


@pytest.mark.parametrize("days", [1, -1])
async def test_the_clock_of_this_machine_may_jump(server, adapter, monkeypatch, days):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await runs(gate)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + days * 86_400)
    gate.release()
    speech = await asyncio.wait_for(call, 15)
    assert is_the_tone(speech)
    assert 0 <= speech.timings.queued + speech.timings.generating <= speech.timings.total < 60


# Cancelling


async def cancelled(call: asyncio.Future) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 10)


async def nothing_is_left(server: StandInComfyUI, adapter: ComfyUIAdapter) -> None:
    snapshot = await adapter._session().http.queue()
    assert snapshot.graphs == {}


async def test_cancelling_while_a_lost_job_is_given_again_leaves_nothing(server, adapter):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await runs(gate)
    held = server.faults.hold("queue")
    slow = Delay(path="/prompt", method="POST", seconds=0.4)
    server.faults.add(slow)
    used = len(server.log.of(FaultUsed))
    await asyncio.to_thread(server.restart)
    assert await server.log.until(lambda log: len(log.of(FaultUsed)) > used)
    await cancelled(call)
    await nothing_is_left(server, adapter)
    held.release()
    assert len(server.log.submitted) == 2


async def test_cancelling_between_loss_and_submission_leaves_nothing(server, adapter):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(
        adapter.clone(CloneRequest("Hello.", reference(), x_vector_only=True))
    )
    await runs(gate)
    server.faults.add(Hang(path="/upload/image"))
    await asyncio.to_thread(server.restart)
    hangs = FaultUsed(fault="Hang").fault
    assert await server.log.until(lambda log: any(f.fault == hangs for f in log.of(FaultUsed)))
    await cancelled(call)
    await nothing_is_left(server, adapter)
    assert len(server.log.submitted) == 1


async def test_cancelling_the_look_for_a_doubtful_submission_leaves_nothing(server, adapter):
    await adapter.speakers()
    gate = server.faults.hold("queue")
    server.faults.add(ResetAfter(path="/prompt", method="POST"))
    server.faults.add(Delay(path="/queue", method="GET", seconds=0.5, times=2))
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: log.submitted)
    await cancelled(call)
    await nothing_is_left(server, adapter)
    gate.release()
    [job] = server.log.submitted
    assert server.log.executions(job) == 0


async def test_a_timeout_of_a_doubtful_submission_is_not_retryable(server, make_adapter):
    adapter = make_adapter(server.url, request=0.3, away=0.5)
    await adapter.speakers()
    for path in ("/prompt", "/queue", "/history/*"):
        server.faults.add(Hang(path=path, times=None))
    with pytest.raises(BackendTimeout) as failed:
        await asyncio.wait_for(adapter.synthesize(LINE), 20)
    assert not failed.value.retryable
