"""The judge of whether a call keeps the event loop to itself."""

import asyncio
import time

import pytest

from storycore_tts.testing.event_loop import TRIES, stays_free

BOUND = 0.05


class Calls:
    """Counts its calls; the first few keep the loop for longer than they may."""

    def __init__(self, blocking=TRIES):
        self.made = 0
        self._blocking = blocking

    async def __call__(self):
        self.made += 1
        await asyncio.sleep(0.02)
        if self.made <= self._blocking:
            time.sleep(2 * BOUND)  # noqa: ASYNC251 — it blocks, that is the point
        await asyncio.sleep(0.02)


async def test_a_call_that_blocks_the_loop_fails_after_some_tries():
    calls = Calls()
    with pytest.raises(AssertionError, match="was delayed"):
        await stays_free(calls, within=BOUND)
    assert calls.made == TRIES


@pytest.mark.parametrize("where", ["before its first wait", "after its last", "before it starts"])
async def test_it_does_not_matter_where_a_call_blocks(where):
    async def call():
        if where == "before its first wait":
            time.sleep(2 * BOUND)  # noqa: ASYNC251
        await asyncio.sleep(0.02)
        if where == "after its last":
            time.sleep(2 * BOUND)  # noqa: ASYNC251

    def start():
        if where == "before it starts":
            time.sleep(2 * BOUND)
        return call()

    with pytest.raises(AssertionError, match="was delayed"):
        await stays_free(start, within=BOUND)


async def test_a_machine_that_pauses_once_is_forgiven():
    calls = Calls(blocking=1)
    await stays_free(calls, within=BOUND)
    assert calls.made > 1
