"""The clock that other tests rely on."""

from __future__ import annotations

import asyncio
import time

import pytest

pytestmark = pytest.mark.virtual_clock


@pytest.fixture
async def woken() -> list[float]:
    loop, times = asyncio.get_running_loop(), []
    for seconds in (20.0, 3600.0, 10.0):
        loop.call_later(seconds, lambda: times.append(loop.time()))
    return times


async def test_timers_fire_in_order_and_take_no_time(woken):
    began = time.monotonic()
    await asyncio.sleep(4000)
    assert woken == pytest.approx([10, 20, 3600])
    assert time.monotonic() - began < 60


async def test_a_timeout_ends_a_wait():
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 5)
    assert asyncio.get_running_loop().time() == pytest.approx(5)


async def test_the_clock_stands_still_while_a_thread_works():
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, lambda: None)
    assert await asyncio.to_thread(sum, range(100_000)) > 0
    assert loop.time() < 1.0
