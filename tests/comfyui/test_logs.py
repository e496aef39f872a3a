"""What happens to a job can be read in the log; what people wrote cannot."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest

from storycore_tts import CloneRequest, GenerationFailed, ReferenceAudio, SpeechRequest
from storycore_tts.testing.comfyui import NodeError, ResetAfter, ResetBefore

SECRET = "the butler did it"
LINE = SpeechRequest(f"Hello, {SECRET}.", "Ryan", instruct=SECRET)


@pytest.fixture(autouse=True)
def _debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged at INFO and above, in order."""
    return [
        record.event
        for record in caplog.records
        if record.levelno >= logging.INFO and hasattr(record, "event")
    ]


def fields(caplog: pytest.LogCaptureFixture, event: str) -> dict[str, object]:
    return next(r.fields for r in caplog.records if getattr(r, "event", "") == event)


async def test_a_job_from_submission_to_end(adapter, caplog):
    speech = await adapter.synthesize(LINE)
    said = events(caplog)
    assert [event for event in said if event.startswith("job.")] == [
        "job.submitted",
        "job.started",
        "job.finished",
    ]
    assert "websocket.connected" in said
    for event in ("job.submitted", "job.started", "job.finished"):
        assert fields(caplog, event)["job"] == speech.job_id
        assert fields(caplog, event)["backend"] == "comfyui"
    assert {"queued", "running"} < set(fields(caplog, "job.finished"))


async def test_a_server_that_restarts(server, make_adapter, caplog):
    adapter = make_adapter(server.url, away=60.0)
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await asyncio.to_thread(gate.reached.wait, 10)
    await asyncio.to_thread(server.restart, down_seconds=0.5)
    await asyncio.wait_for(call, 60)
    said = events(caplog)
    wanted = ["websocket.closed", "server.away", "server.back", "job.lost", "job.resubmitted"]
    assert [said.index(event) for event in wanted] == sorted(said.index(e) for e in wanted)
    assert said.count("server.away") == said.count("server.back") == 1


async def test_a_job_that_is_found_and_one_that_is_withdrawn(server, adapter, caplog):
    server.faults.add(ResetAfter(path="/prompt", method="POST"))
    gate = server.faults.hold("queue")
    queued = asyncio.Event()
    call = asyncio.ensure_future(
        adapter.synthesize(LINE, on_progress=lambda progress: queued.set())
    )
    await asyncio.wait_for(queued.wait(), 10)
    call.cancel()
    await asyncio.wait([call])
    gate.release()
    assert fields(caplog, "job.found")["job"] == fields(caplog, "job.withdrawn")["job"]


async def test_nothing_that_people_wrote_is_logged_at_info(server, adapter, caplog):
    tone = (0.3 * np.sin(np.arange(96_000) / 20)).astype(np.float32)
    reference = ReferenceAudio(tone, transcript=SECRET)
    server.faults.add(ResetBefore(path="/prompt", method="POST"))
    await adapter.clone(CloneRequest(SECRET, reference))
    server.faults.add(NodeError(message=f"cannot say {SECRET}"))
    with pytest.raises(GenerationFailed, match=SECRET):
        await adapter.synthesize(LINE)
    assert fields(caplog, "job.failed")["error"] == "RuntimeError"
    loud = [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO]
    assert loud
    assert not any("butler" in line for line in loud)
