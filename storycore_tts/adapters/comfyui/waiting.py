"""Waits that no cancellation gets lost in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_CANCEL_AGAIN = 0.1  # s


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


async def in_own_task(work: Coroutine[Any, Any, T]) -> T:
    """Await something that may swallow a cancellation, and swallow none.

    On Python 3.10 a new connection of anyio's, and so every request of httpx, loses a cancellation
    that arrives in the step of the loop in which the connection stands: nothing tells it from the
    cancellation that anyio itself uses there.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_CANCEL_AGAIN)
        seen(task)
    return task.result()


def seen(task: asyncio.Future[Any]) -> None:
    """Look at what a task that has ended raised: asyncio complains when nobody ever does."""
    if not task.cancelled():
        task.exception()
