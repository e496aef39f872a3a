"""A time limit that never loses the caller's cancellation."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.services.timeouts import within

pytestmark = pytest.mark.virtual_clock


async def test_what_ends_in_time_is_handed_on_and_what_does_not_is_cancelled():
    assert await within(10, asyncio.sleep(9, "done")) == "done"
    assert await within(None, asyncio.sleep(1_000_000, "done")) == "done"
    ended = []

    async def slow():
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(5)  # cleaning up takes its time, and is waited for
            ended.append(asyncio.get_running_loop().time())

    began = asyncio.get_running_loop().time()
    with pytest.raises(asyncio.TimeoutError):
        await within(10, slow())
    assert ended == [began + 15]


async def test_a_cancellation_that_comes_together_with_the_result_is_not_lost():
    over = asyncio.Event()
    calling = asyncio.ensure_future(within(10, over.wait()))
    await asyncio.sleep(1)
    over.set()
    while calling._fut_waiter is not None and not calling._fut_waiter.done():
        await asyncio.sleep(0)  # until the result is there, and the caller has not heard of it yet
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_a_cancelled_caller_leaves_nothing_running_and_no_error_unread():
    async def stumbles():
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("while it cleans up")

    before = asyncio.all_tasks()
    calling = asyncio.ensure_future(within(10, stumbles()))
    await asyncio.sleep(1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert asyncio.all_tasks() == before
