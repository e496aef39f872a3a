"""Requests lose no cancellation, and leave no connection open."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from storycore_tts.adapters.comfyui.transport.http import ComfyUIHTTP, tls_context
from storycore_tts.adapters.comfyui.transport.requests import Requests
from storycore_tts.settings import QwenTTSConfig


async def swallows_a_cancellation() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "as if nothing had happened"
    raise AssertionError("nothing came")


async def starts_over() -> None:
    await swallows_a_cancellation()
    await asyncio.Event().wait()


async def breaks() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise LookupError("while it was cancelled")


@pytest.mark.parametrize("work", [swallows_a_cancellation, starts_over, breaks])
async def test_a_cancelled_request_is_cancelled_whatever_it_does(work):
    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = asyncio.all_tasks()
    waiting = asyncio.ensure_future(Requests().run(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    del waiting
    gc.collect()
    assert asyncio.all_tasks() == before
    assert complaints == []


async def test_a_result_and_an_error_pass():
    async def fails() -> None:
        raise LookupError("as it is")

    assert await Requests().run(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(LookupError, match="as it is"):
        await Requests().run(fails())


async def test_no_request_swallows_a_cancellation(standin_comfyui):
    """Wherever it arrives: on Python 3.10 httpx loses one in thirty while it connects."""
    config = QwenTTSConfig(comfyui_url=standin_comfyui.url)
    tls = tls_context(config)
    for steps in range(60):
        http = ComfyUIHTTP(config, tls)
        asking = asyncio.ensure_future(http.queue())
        for _ in range(steps):
            await asyncio.sleep(0)
        if asking.done() or not asking.cancel():
            await asking
        else:
            with pytest.raises(asyncio.CancelledError):
                await asking
        await http.aclose()


@pytest.mark.parametrize("times", [1, 2])
async def test_no_request_that_is_cancelled_leaves_connections_open(standin_comfyui, times):
    """Connections that the server has left are closed in several steps, none of them skipped."""
    config = QwenTTSConfig(comfyui_url=standin_comfyui.url)
    tls = tls_context(config)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        for steps in range(0, 12, 2):
            http = ComfyUIHTTP(config, tls)
            await asyncio.gather(*(http.queue() for _ in range(4)))
            await asyncio.to_thread(standin_comfyui.restart)
            asking = asyncio.ensure_future(http.queue())
            for _ in range(steps):
                await asyncio.sleep(0)
            for _ in range(times):
                asking.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([asking])
            await http.aclose()
            await asyncio.sleep(0)
            gc.collect()
    assert not [str(one.message) for one in warned if one.category is ResourceWarning]
