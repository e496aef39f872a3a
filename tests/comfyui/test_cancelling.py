"""Giving up takes the job off a real server: ours, and no other client's."""

from __future__ import annotations

import asyncio
import gc

import pytest

from storycore_tts import JobCancelled, SpeechRequest
from storycore_tts.testing.comfyui import Hang, InterruptedByAnother
from storycore_tts.testing.comfyui.log import FaultUsed

LINE = SpeechRequest("Hello, this is a test.", "Ryan")


async def cancelled(call: asyncio.Future) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 30)


async def test_a_running_job_is_interrupted_by_its_id(either_server, make_adapter):
    server = either_server
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(make_adapter(server.url).synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 30)
    await cancelled(call)
    gate.release()
    [job] = server.log.submitted
    assert await server.log.until(lambda log: log.interrupted == [job])
    assert None not in server.log.interrupt_requests


async def test_a_waiting_job_is_deleted_and_the_running_one_goes_on(either_server, make_adapter):
    server, adapter = either_server, make_adapter(either_server.url)
    gate = server.faults.hold("running")
    running = asyncio.ensure_future(adapter.synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 30)
    waiting = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: len(log.submitted) == 2)
    await cancelled(waiting)
    gate.release()
    assert (await running).duration > 0
    first, second = server.log.submitted
    assert server.log.executions(first) == 1
    assert server.log.executions(second) == 0
    assert server.log.interrupted == []


async def test_a_server_too_old_for_targeted_interrupts_is_never_interrupted(
    standin_comfyui_factory, make_adapter
):
    server = standin_comfyui_factory(version="0.3.40", instant=True)
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(make_adapter(server.url).synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 30)
    await cancelled(call)
    gate.release()
    assert server.log.interrupt_requests == []


async def test_an_interruption_by_another_client_says_so(server, adapter):
    server.faults.add(InterruptedByAnother())
    with pytest.raises(JobCancelled, match="by another client"):
        await asyncio.wait_for(adapter.synthesize(LINE), 30)


async def test_a_submission_that_breaks_after_its_caller_has_left_is_not_reported(server, adapter):
    """asyncio complains about exceptions that are never retrieved."""
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    await adapter.speakers()
    server.faults.add(Hang(path="/prompt", method="POST"))
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: log.of(FaultUsed))
    call.cancel()
    await asyncio.to_thread(server.restart)
    await cancelled(call)
    del call
    await adapter.aclose()
    gc.collect()
    assert complaints == []
