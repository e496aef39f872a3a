"""Whether a call leaves the event loop to others while it runs.

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
    """Assert that the event loop is kept from its other work for no longer than that.

    What blocks the loop does so in every call, and a machine that pauses does not: the call is
    repeated, up to five times, until it was once quick enough.

    Args:
        call: Makes one call; it should take some tenths of a second, and not many seconds:
            in those, the machine is sure to pause.
        within: The most seconds by which a 10 ms ticker may come late.

    Raises:
        AssertionError: Each of the calls kept the loop for longer.
    """
    measured = []
    for _ in range(TRIES):
        measured.append(await lateness(call))
        if measured[-1] < within:
            return
    seconds = ", ".join(f"{late:.2f}" for late in measured)
    raise AssertionError(f"a 10 ms ticker came late by {seconds} s")


async def lateness(call: Callable[[], Awaitable[object]]) -> float:
    """Return by how many seconds a 10 ms ticker came late, at worst, while a call ran."""
    clock = asyncio.get_running_loop().time
    worst, last = 0.0, clock()
    running = asyncio.ensure_future(call())
    while not running.done():
        await asyncio.sleep(TICK)
        now = clock()
        worst, last = max(worst, now - last - TICK), now
    await running
    return worst
