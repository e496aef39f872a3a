"""A wait with an end loses neither the event nor a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.adapters.comfyui.waiting import wait_at_most


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
