"""A wait with an end, that no cancellation gets lost in."""

from __future__ import annotations

import asyncio


async def wait_at_most(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so many seconds; tell whether it came.

    Not ``asyncio.wait_for``: before Python 3.12 that swallows a cancellation which arrives in the
    same step of the loop as the event, and the caller goes on with a job that nobody wants.
    """
    if event.is_set():
        return True
    over = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(seconds, over.cancel)
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiter, over], return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
        over.cancel()
        waiter.cancel()
    return event.is_set()
