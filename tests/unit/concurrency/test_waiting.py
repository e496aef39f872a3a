"""Our waits lose neither what they wait for nor a cancellation."""

from __future__ import annotations

import asyncio
import gc

import pytest

from storycore_tts.concurrency.waiting import all_ended, unbroken, wait_at_most, within

pytestmark = pytest.mark.virtual_clock


def now() -> float:
    return asyncio.get_running_loop().time()


async def stumbles() -> None:
    try:
        await asyncio.sleep(1000)
    finally:
        raise ValueError("while it cleans up")


@pytest.fixture
async def complaints():
    """What asyncio logs, an exception that was never retrieved among it."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what["message"]))
    yield told
    gc.collect()
    assert told == []


class TestWaitAtMost:
    async def test_the_event_or_the_time_ends_the_wait(self):
        event = asyncio.Event()
        before = asyncio.all_tasks()
        assert not await wait_at_most(event, 10)
        assert now() == 10
        asyncio.get_running_loop().call_later(5, event.set)
        assert await wait_at_most(event, 10)
        assert now() == 15
        assert await wait_at_most(event, 0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    async def test_an_event_that_is_cleared_at_once_has_come(self):
        event = asyncio.Event()
        waiting = asyncio.ensure_future(wait_at_most(event, 10))
        await asyncio.sleep(1)
        event.set()
        event.clear()
        assert await waiting

    async def test_a_cancellation_that_comes_with_the_event_is_not_lost(self):
        """Before Python 3.12, asyncio.wait_for returns as if nothing had happened."""
        event = asyncio.Event()
        waiting = asyncio.ensure_future(wait_at_most(event, 10))
        await asyncio.sleep(1)
        event.set()
        await asyncio.sleep(0)  # the event's own waiter is done now, and ours not yet
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


class TestWithin:
    async def test_what_ends_in_time_is_handed_on_and_what_does_not_is_cancelled(self):
        assert await within(10, asyncio.sleep(9, "done")) == "done"
        assert await within(None, asyncio.sleep(1_000_000, "done")) == "done"
        ended = []

        async def slow():
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(5)  # cleaning up takes its time, and is waited for
                ended.append(now())

        began = now()
        with pytest.raises(asyncio.TimeoutError):
            await within(10, slow())
        assert ended == [began + 15]

    async def test_a_cancellation_that_comes_together_with_the_result_is_not_lost(self):
        over = asyncio.Event()
        calling = asyncio.ensure_future(within(10, over.wait()))
        await asyncio.sleep(1)
        over.set()
        while calling._fut_waiter is not None and not calling._fut_waiter.done():
            await asyncio.sleep(0)  # the result is there, and the caller has not heard of it yet
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling

    async def test_a_cancelled_caller_leaves_nothing_running_and_no_error_unread(self, complaints):
        before = asyncio.all_tasks()
        calling = asyncio.ensure_future(within(10, stumbles()))
        await asyncio.sleep(1)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert asyncio.all_tasks() == before

    async def test_a_caller_who_is_cancelled_twice_leaves_nothing_running(self):
        async def slow():
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(5)

        before = asyncio.all_tasks()
        calling = asyncio.ensure_future(within(10, slow()))
        for _ in range(2):
            await asyncio.sleep(1)
            calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert asyncio.all_tasks() == before
        assert now() == 2  # the second one breaks off the cleaning up, as it does without a limit


class TestUnbroken:
    async def test_what_must_not_be_broken_off_ends_first(self):
        waiting = asyncio.ensure_future(unbroken(asyncio.sleep(10, "cleaned up")))
        for _ in range(3):
            await asyncio.sleep(1)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert now() == 10

    async def test_its_result_and_its_error_are_handed_on(self):
        assert await unbroken(asyncio.sleep(1, "done")) == "done"
        with pytest.raises(ValueError, match="cleans up"):
            await unbroken(stumbles())

    async def test_who_waits_for_all_to_end_does_so_when_cancelled_and_stays_cancelled(
        self, complaints
    ):
        tasks = [asyncio.ensure_future(stumbles()), asyncio.ensure_future(asyncio.sleep(10))]
        tasks[0].cancel()
        waiting = asyncio.ensure_future(all_ended(tasks))
        for _ in range(3):
            await asyncio.sleep(1)
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert now() == 10
        del tasks
