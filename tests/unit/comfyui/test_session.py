"""What all calls on one event loop share, on a virtual clock: lookups, uploads, jobs, closing."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest

from storycore_tts import (
    BackendTimeout,
    BackendUnavailable,
    CloneRequest,
    GenerationFailed,
    ReferenceAudio,
    SpeechRequest,
)
from storycore_tts.domain.jobs import SUSPENDED

from .memory_server import MemoryComfyUI

LINE = SpeechRequest("Hello, this is a test.", "Ryan")
JOB = "0b7b3f6e-9d5c-4b57-8f0e-3f6f2d8f2a11"


@pytest.fixture
def server() -> MemoryComfyUI:
    return MemoryComfyUI()


@pytest.fixture
def quick() -> MemoryComfyUI:
    return MemoryComfyUI(instant=True)


def reference() -> ReferenceAudio:
    samples = 0.3 * np.sin(np.arange(96_000) * 2 * np.pi * 220 / 24_000)
    return ReferenceAudio(samples.astype(np.float32))


def clone(number: int) -> CloneRequest:
    return CloneRequest(f"Line {number}.", reference(), x_vector_only=True)


async def cancelled(call: asyncio.Future) -> None:
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.virtual_clock
class TestLookups:
    async def test_twenty_first_calls_ask_once(self, quick):
        adapter = quick.adapter()
        await asyncio.gather(*(adapter.synthesize(LINE) for _ in range(20)))
        assert quick.count("GET", "/system_stats") == 1
        assert quick.count("GET", "/object_info/FB_Qwen3TTSCustomVoice") == 1
        await adapter.aclose()

    @pytest.mark.parametrize("at_once", [True, False])
    async def test_a_recording_is_uploaded_and_verified_once(self, quick, at_once):
        adapter = quick.adapter()
        if at_once:
            await asyncio.gather(*(adapter.clone(clone(number)) for number in range(5)))
        else:
            for number in range(5):
                await adapter.clone(clone(number))
        assert quick.count("POST", "/upload/image") == 1
        assert quick.count("GET", "/view") == 1 + 5  # the upload, and five results
        await adapter.aclose()

    async def test_a_recording_that_was_deleted_on_the_server_is_uploaded_again(self, quick):
        adapter = quick.adapter()
        await adapter.clone(clone(1))
        missing = {"type": "custom_validation_failed", "message": "Invalid audio file"}
        node = {"class_type": "LoadAudio", "errors": [missing]}
        quick.refused = [{"error": {}, "node_errors": {"reference": node}}]
        assert (await adapter.clone(clone(2))).duration > 0
        assert quick.count("POST", "/upload/image") == 2
        quick.refused = [{"error": {}, "node_errors": {"reference": node}}] * 2
        with pytest.raises(GenerationFailed):
            await adapter.clone(clone(3))
        await adapter.aclose()


@pytest.mark.virtual_clock
class TestLeaving:
    async def test_a_cancellation_while_a_late_job_is_withdrawn_is_not_lost(self, server):
        """Otherwise the fallback would speak a line that no one wants."""
        adapter = server.adapter(job=10.0, cancel=5.0)
        server.held["/interrupt"] = asyncio.Event()
        call = asyncio.ensure_future(adapter.synthesize(LINE))
        await asyncio.sleep(12)
        assert not call.done()
        assert call.cancel()
        server.held["/interrupt"].set()
        await cancelled(call)
        assert server.interrupted == server.submitted
        await adapter.aclose()

    async def test_a_late_job_is_withdrawn_before_its_call_fails(self, server):
        adapter = server.adapter(job=10.0)
        with pytest.raises(BackendTimeout):
            await adapter.synthesize(LINE)
        assert server.interrupted == server.submitted
        await adapter.aclose()

    @pytest.mark.parametrize("version", ["0.3.64", "0.33.0"])
    async def test_a_job_that_forgets_its_interruption_is_interrupted_again(self, server, version):
        server.version, server.is_slow_to_start = version, True
        adapter = server.adapter()
        call = asyncio.ensure_future(adapter.synthesize(LINE))
        await server.until(lambda server: server.submitted)
        call.cancel()
        await cancelled(call)
        assert server.interrupted == server.submitted
        await adapter.aclose()

    async def test_closing_takes_jobs_off_the_server(self, server):
        adapter = server.adapter()
        calls = [asyncio.ensure_future(adapter.synthesize(LINE)) for _ in range(3)]
        await server.until(lambda server: len(server.queue) == 3)
        await adapter.aclose()
        assert server.queue == {}
        for call in calls:
            with pytest.raises(BackendUnavailable, match="closed") as failed:
                await call
            assert not failed.value.retryable
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_closing_does_not_wait_for_a_server_that_does_not_answer(self, server):
        adapter = server.adapter(cancel=5.0)
        call = asyncio.ensure_future(adapter.synthesize(LINE))
        await server.until(lambda server: server.submitted)
        server.held["/queue"] = server.held["/interrupt"] = asyncio.Event()
        began = asyncio.get_running_loop().time()
        await adapter.aclose()
        assert asyncio.get_running_loop().time() - began < 7
        with pytest.raises(BackendUnavailable):
            await call
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_nothing_is_submitted_while_the_client_closes(self, server):
        adapter = server.adapter(cancel=5.0)
        first = asyncio.ensure_future(adapter.synthesize(LINE))
        await server.until(lambda server: server.submitted)
        info = "/object_info/FB_Qwen3TTSVoiceClone"
        server.held |= {"/interrupt": asyncio.Event(), info: asyncio.Event()}
        second = asyncio.ensure_future(adapter.clone(clone(1)))
        await server.until(lambda server: server.count("GET", info))
        closing = asyncio.ensure_future(adapter.aclose())
        await asyncio.sleep(1)
        server.held[info].set()
        await closing
        for call in (first, second):
            with pytest.raises(BackendUnavailable, match="closed"):
                await call
        assert len(server.submitted) == 1

    async def test_a_slow_withdrawal_goes_on_in_the_background(self, server):
        adapter = server.adapter(cancel=1.0)
        call = asyncio.ensure_future(adapter.synthesize(LINE))
        await server.until(lambda server: server.submitted)
        server.held["/interrupt"] = asyncio.Event()
        call.cancel()
        await cancelled(call)
        assert server.interrupted == []
        server.held["/interrupt"].set()
        await server.until(lambda server: server.interrupted == server.submitted)
        await adapter.aclose()

    async def test_a_listener_that_raises_ends_the_job(self, server):
        def listener(progress) -> None:
            raise LookupError("mine")

        adapter = server.adapter()
        with pytest.raises(LookupError, match="mine"):
            await adapter.synthesize(LINE, on_progress=listener)
        assert server.interrupted == server.submitted
        await adapter.aclose()

    async def test_a_suspended_job_stays_on_the_server(self, server):
        adapter = server.adapter()
        call = asyncio.ensure_future(adapter.synthesize(SpeechRequest("Hi.", "Ryan", job_id=JOB)))
        await server.until(lambda server: server.submitted)
        call.cancel(SUSPENDED)
        await cancelled(call)
        await adapter.aclose()
        assert list(server.queue) == [JOB]

    @pytest.mark.parametrize("steps", range(1, 8))
    async def test_a_request_that_begins_while_the_client_closes_fails_with_our_error(
        self, server, steps
    ):
        adapter = server.adapter()
        asking = asyncio.ensure_future(adapter.speakers())
        for _ in range(steps):
            await asyncio.sleep(0)
        await adapter.aclose()
        if not asking.done() or asking.exception() is not None:
            with pytest.raises(BackendUnavailable, match="closed"):
                await asking

    async def test_a_server_that_is_back_gets_no_job_of_a_caller_who_left(self, server):
        adapter = server.adapter(away=60.0, cancel=2.0)
        call = asyncio.ensure_future(adapter.synthesize(LINE))
        await server.until(lambda server: server.submitted)
        await server.go_down()
        await asyncio.sleep(5)
        call.cancel()
        await cancelled(call)
        server.is_down = False
        await asyncio.sleep(60)
        assert len(server.submitted) == 1
        await adapter.aclose()


@pytest.mark.virtual_clock
async def test_a_restarted_server_is_given_the_job_again(server):
    adapter = server.adapter(away=60.0)
    call = asyncio.ensure_future(adapter.clone(clone(1)))
    await server.until(lambda server: server.submitted)
    await server.go_down()
    await asyncio.sleep(20)
    server.is_down = False
    await server.until(lambda server: len(server.submitted) == 2)
    server.finish(server.submitted[0])
    speech = await call
    assert any("submitted again" in warning for warning in speech.warnings)
    assert server.count("POST", "/upload/image") == 2
    await adapter.aclose()


@pytest.mark.virtual_clock
async def test_a_restarted_server_is_asked_again_what_it_has(server):
    adapter = server.adapter()
    await adapter.speakers()
    await server.until(lambda server: server.sockets)
    await server.go_down()
    await asyncio.sleep(5)
    server.is_down = False
    await adapter.speakers()
    assert server.count("GET", "/object_info/FB_Qwen3TTSCustomVoice") == 2
    await adapter.aclose()


@pytest.mark.virtual_clock
class TestWhileAServerIsDown:
    def check_calm(self, server: MemoryComfyUI, began: float) -> None:
        """Fewer than three attempts in any second, after the first one."""
        times = [when - began for when in server.times if when > began + 1]
        assert times
        for start in times:
            assert sum(start <= when < start + 1 for when in times) < 3, times

    async def test_callers_who_ask_again_and_again_do_not_reach_the_network(self, server):
        server.is_down = True
        adapter, loop, said = server.adapter(), asyncio.get_running_loop(), set()

        async def keeps_asking() -> None:
            while loop.time() < 10:
                with pytest.raises(BackendUnavailable) as failed:
                    await adapter.speakers()
                assert failed.value.retryable
                said.add(str(failed.value))
                await asyncio.sleep(0.05)

        await asyncio.gather(*(keeps_asking() for _ in range(20)))
        self.check_calm(server, 0.0)
        assert len(said) == 1, "the error tells whether the network was asked"
        await adapter.aclose()

    async def test_two_hundred_jobs_of_a_server_that_stays_away(self, server):
        adapter = server.adapter(away=10.0, cancel=2.0)
        calls = [asyncio.ensure_future(adapter.synthesize(LINE)) for _ in range(200)]
        await server.until(lambda server: len(server.submitted) == 200)
        await server.go_down()
        began = asyncio.get_running_loop().time()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, BackendUnavailable) for error in ended)
        assert not any(error.retryable for error in ended)
        self.check_calm(server, began)
        await adapter.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_the_event_stream_is_back_as_soon_as_http_is(self, server):
        adapter = server.adapter(away=600.0)
        call = asyncio.ensure_future(adapter.synthesize(LINE))
        await server.until(lambda server: server.submitted)
        await server.go_down()
        await asyncio.sleep(300)
        server.is_down = False
        back = asyncio.get_running_loop().time()
        await server.until(lambda server: server.sockets)
        assert asyncio.get_running_loop().time() - back < 3
        call.cancel()
        await cancelled(call)
        await adapter.aclose()


def test_an_adapter_used_from_many_loops_keeps_none_of_them(quick):
    adapter = quick.adapter()
    for _ in range(20):
        asyncio.run(adapter.synthesize(LINE))
    gc.collect()
    assert adapter._sessions == {}


def test_a_loop_that_was_closed_without_ending_its_tasks_is_forgotten(quick):
    adapter = quick.adapter()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(adapter.speakers())
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    asyncio.run(adapter.speakers())
    assert adapter._sessions == {}


def test_the_end_of_asyncio_run_takes_jobs_off_the_server(server):
    adapter, kept = server.adapter(), []

    async def main() -> None:
        kept.append(asyncio.ensure_future(adapter.synthesize(LINE)))
        await server.until(lambda server: server.queue)

    asyncio.run(main())
    assert server.submitted
    assert server.interrupted == server.submitted
    assert kept[0].cancelled()
