"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Return whether an event is set in time.

    ``asyncio.wait_for`` swallows a cancellation that comes together with the event, before
    Python 3.12.
    """
    waiter = asyncio.ensure_future(event.wait())
    try:
        done, _ = await asyncio.wait({waiter}, timeout=seconds)
    finally:
        waiter.cancel()
    return bool(done)
