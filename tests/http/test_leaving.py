"""However the service ends, nothing that it began is left on the backend or in the process."""

import asyncio
import os
import signal

import httpx
import pytest

from storycore_tts.entrypoints.http.listening import listen
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.service_process import ServiceProcess

from .serving import GENERATE, on_comfyui

LINE = {"text": "This line is never finished.", "speaker": "Ryan"}


@pytest.fixture
def comfyui():
    with StandInComfyUI(modern=True, instant=True) as server:
        yield server


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
async def test_a_second_signal_ends_requests_and_their_jobs(comfyui, tmp_path):
    gate = comfyui.faults.hold("running")
    service = ServiceProcess(tmp_path, backend="comfyui", comfyui_url=comfyui.url)
    with service:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            asked = asyncio.ensure_future(http.post(GENERATE, json=LINE))
            assert await asyncio.to_thread(gate.reached.wait, 30)
            os.kill(service.pid, signal.SIGINT)
            with pytest.raises(httpx.TransportError):  # noqa: PT012 - refused, or cut off
                while True:  # until it listens no more, and has seen the first one
                    await http.get("/health", headers={"Connection": "close"})
            os.kill(service.pid, signal.SIGTERM)
            answer = await asked
        assert await asyncio.to_thread(service.wait) == 0
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The service is shutting down."
    assert {*comfyui.log.interrupt_requests} == {*comfyui.log.submitted}
    assert service.said == ""
    gate.release()


async def test_a_service_whose_task_is_cancelled_ends_its_requests_first(comfyui, tmp_path):
    gate = comfyui.faults.hold("running")
    listening = asyncio.get_running_loop().create_future()
    before = asyncio.all_tasks()
    service = asyncio.ensure_future(listen(on_comfyui(tmp_path, comfyui.url), listening.set_result))
    async with httpx.AsyncClient(base_url=await listening, timeout=60) as http:
        asked = asyncio.ensure_future(http.post(GENERATE, json=LINE))
        assert await asyncio.to_thread(gate.reached.wait, 30)
        service.cancel()
        with pytest.raises(asyncio.CancelledError):
            await service
        assert {*comfyui.log.interrupt_requests} == {*comfyui.log.submitted}
        answer = await asked
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The service is shutting down."
    gate.release()
    assert asyncio.all_tasks() <= before
