"""Giving up takes the job off the server: ours, and nobody else's."""

from __future__ import annotations

import asyncio
import gc

import pytest

from storycore_tts import BackendTimeout, JobCancelled, SpeechRequest
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.comfyui import (
    Delay,
    Hang,
    InterruptedByAnother,
    StandInComfyUI,
)
from storycore_tts.testing.comfyui.log import FaultUsed

LINE = SpeechRequest("Hello, this is a test.", "Ryan")


async def cancelled(call: asyncio.Future) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 10)


async def test_a_running_job_is_interrupted_by_its_id(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 10)
    await cancelled(call)
    gate.release()
    [job] = server.log.submitted
    assert await server.log.until(lambda log: log.interrupted == [job])
    assert None not in server.log.interrupt_requests


async def test_a_waiting_job_is_deleted_and_the_running_one_goes_on(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    gate = server.faults.hold("running")
    running = asyncio.ensure_future(adapter.synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 10)
    waiting = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: len(log.submitted) == 2)
    await cancelled(waiting)
    gate.release()
    assert (await running).duration > 0
    first, second = server.log.submitted
    assert server.log.executions(first) == 1
    assert server.log.executions(second) == 0
    assert server.log.interrupted == []


async def test_cancelling_while_the_server_takes_the_job_leaves_nothing_behind(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    await adapter.speakers()
    gate = server.faults.hold("queue")
    server.faults.add(Delay(path="/prompt", method="POST", seconds=0.3))
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: log.http_count("/prompt", "POST") == 1)
    await cancelled(call)
    gate.release()
    snapshot = await adapter._session().http.queue()
    assert snapshot.pending == ()
    assert all(server.log.executions(job) == 0 for job in server.log.submitted)


async def test_a_server_too_slow_to_wait_for_is_told_in_the_background(
    server: StandInComfyUI, make_adapter
):
    adapter = make_adapter(server.url, cancel=0.2)
    await adapter.speakers()
    gate = server.faults.hold("running")
    server.faults.add(Delay(path="/prompt", method="POST", seconds=2.0))
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    assert await server.log.until(lambda log: log.of(FaultUsed))
    await cancelled(call)
    assert server.log.submitted == []
    await asyncio.wait_for(asyncio.gather(*adapter._session()._background), 10)
    gate.release()
    [job] = server.log.submitted
    assert await server.log.until(lambda log: job in [*log.interrupted, *log.deleted])


async def test_a_second_cancel_does_not_leave_the_job_behind(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 10)
    call.cancel()
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 10)
    gate.release()
    assert await server.log.until(lambda log: log.interrupted == log.submitted)


async def test_an_interruption_by_somebody_else_says_so(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    server.faults.add(InterruptedByAnother())
    with pytest.raises(JobCancelled, match="by another client"):
        await asyncio.wait_for(adapter.synthesize(LINE), 10)


@pytest.mark.parametrize(
    ("hold", "limits", "wait"),
    [
        ("queue", {"queue": 0.4}, "queue"),
        ("running", {"idle": 0.4}, "idle"),
        ("running", {"job": 0.4}, "job"),
    ],
)
async def test_every_wait_ends_and_takes_the_job_along(
    server: StandInComfyUI, make_adapter, hold, limits, wait
):
    adapter = make_adapter(server.url, **limits)
    gate = server.faults.hold(hold)
    with pytest.raises(BackendTimeout) as late:
        await asyncio.wait_for(adapter.synthesize(LINE), 10)
    assert late.value.wait == wait
    assert late.value.seconds == 0.4
    assert f"timeouts.{wait}" in str(late.value)
    assert not late.value.retryable
    gate.release()
    [job] = server.log.submitted
    assert await server.log.until(lambda log: job in [*log.interrupted, *log.deleted])


async def test_a_server_too_old_for_targeted_interrupts_is_never_interrupted(
    standin_comfyui_factory, make_adapter
):
    server = standin_comfyui_factory(version="0.3.40", instant=True)
    adapter = make_adapter(server.url)
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 10)
    await cancelled(call)
    gate.release()
    assert server.log.interrupt_requests == []


async def test_a_submission_that_breaks_after_its_caller_has_left_is_no_news(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    """Nobody awaits it any more, and asyncio complains of errors that nobody has seen."""
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
