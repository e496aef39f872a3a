"""Our waits lose neither what they wait for nor a cancellation."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from storycore_tts.adapters.comfyui.transport.http import ComfyUIHTTP, tls_context
from storycore_tts.adapters.comfyui.transport.waiting import in_own_task, unbroken, wait_at_most
from storycore_tts.settings import QwenTTSConfig


async def test_the_event_ends_the_wait():
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await wait_at_most(event, 10)
    assert await wait_at_most(event, 0)


async def test_the_time_ends_the_wait():
    assert not await wait_at_most(asyncio.Event(), 0.01)


async def test_a_cancellation_that_comes_with_the_event_is_not_lost():
    """Before Python 3.12, asyncio.wait_for returns as if nothing had happened."""
    event = asyncio.Event()
    waiting = asyncio.ensure_future(wait_at_most(event, 10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    event.set()
    await asyncio.sleep(0)  # the event's own waiter is done now, and ours not yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_nothing_is_left_behind():
    before = asyncio.all_tasks()
    await wait_at_most(asyncio.Event(), 0.01)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def swallows_a_cancellation() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "as if nothing had happened"
    raise AssertionError("nothing came")


async def test_a_swallowed_cancellation_arrives_all_the_same():
    waiting = asyncio.ensure_future(in_own_task(swallows_a_cancellation()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_work_that_starts_over_is_cancelled_until_it_ends():
    async def starts_over() -> None:
        await swallows_a_cancellation()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    waiting = asyncio.ensure_future(in_own_task(starts_over()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before


async def test_an_error_that_comes_with_the_cancellation_is_no_news():
    """Nobody awaits it any more, and asyncio complains of errors that nobody has seen."""

    async def breaks() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("while it was cancelled")

    complaints = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    waiting = asyncio.ensure_future(in_own_task(breaks()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    del waiting
    gc.collect()
    assert complaints == []


async def test_a_result_and_an_error_pass():
    async def fails() -> None:
        raise LookupError("as it is")

    assert await in_own_task(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(LookupError, match="as it is"):
        await in_own_task(fails())


async def test_what_must_not_be_broken_off_ends_first():
    over = asyncio.Event()
    done = []

    async def clean_up() -> None:
        await over.wait()
        done.append("cleaned up")

    waiting = asyncio.ensure_future(unbroken(clean_up()))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    over.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == ["cleaned up"]


async def test_no_request_swallows_a_cancellation(standin_comfyui):
    """Wherever it arrives: on Python 3.10 httpx loses one in thirty while it connects."""
    config = QwenTTSConfig(comfyui_url=standin_comfyui.url)
    tls = tls_context(config)
    for steps in range(180):
        transport = ComfyUIHTTP(config, tls)
        asking = asyncio.ensure_future(transport.queue())
        for _ in range(steps % 60):
            await asyncio.sleep(0 if steps % 2 else 0.0001)
        if asking.done() or not asking.cancel():
            await asking
        else:
            with pytest.raises(asyncio.CancelledError):
                await asking
        await transport.aclose()


@pytest.mark.parametrize("times", [1, 2])
async def test_no_request_that_is_cancelled_leaves_connections_open(standin_comfyui, times):
    """Connections that the server has left are closed in several steps, none of them skipped."""
    config = QwenTTSConfig(comfyui_url=standin_comfyui.url)
    tls = tls_context(config)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ResourceWarning)
        for steps in range(12):
            transport = ComfyUIHTTP(config, tls)
            await asyncio.gather(*(transport.queue() for _ in range(4)))
            await asyncio.to_thread(standin_comfyui.restart)
            asking = asyncio.ensure_future(transport.queue())
            for _ in range(steps):
                await asyncio.sleep(0)
            for _ in range(times):
                asking.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([asking])
            await transport.aclose()
            await asyncio.sleep(0)
            gc.collect()
    assert not [str(one.message) for one in warned if one.category is ResourceWarning]
