"""Detects calls that block the event loop.

::

    async def test_the_event_loop_stays_free(adapter):
        await stays_free(lambda: adapter.synthesize(request), within=0.1)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

TICK = 0.01
TRIES = 5


async def stays_free(call: Callable[[], Awaitable[object]], *, within: float) -> None:
    """Assert that a call does not block the event loop for longer than `within`.

    To ignore pauses of the machine, the call is repeated up to five times until one of the calls
    succeeds; a call that blocks does so every time.

    Args:
        call: Makes one call, which should take some tenths of a second; during longer calls, pauses
            of the machine are likely.
        within: Maximum delay of a 10 ms ticker, in seconds.

    Raises:
        AssertionError: All calls blocked the loop for longer.
    """
    measured = []
    for _ in range(TRIES):
        measured.append(await lateness(call))
        if measured[-1] < within:
            return
    seconds = ", ".join(f"{late:.2f}" for late in measured)
    raise AssertionError(f"a 10 ms ticker was delayed by {seconds} s")


async def lateness(call: Callable[[], Awaitable[object]]) -> float:
    """Return the maximum delay of a 10 ms ticker during a call, in seconds."""
    clock = asyncio.get_running_loop().time
    worst, last = 0.0, clock()
    running = asyncio.ensure_future(call())
    while not running.done():
        await asyncio.sleep(TICK)
        now = clock()
        worst, last = max(worst, now - last - TICK), now
    await running
    return worst
