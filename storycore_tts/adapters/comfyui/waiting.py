"""Waits that no cancellation gets lost in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


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
    """Await what is built on anyio, and cancel it by anyio's rules; no cancellation is swallowed.

    httpx guards its cleaning up by anyio's shields, and those do not hold off a cancellation of
    asyncio's: it would break off the closing of connections that the server has left, and leave the
    others open. Nor does on Python 3.10 a new connection of anyio's tell such a cancellation from
    the one that it uses itself, and goes on.
    """
    scope = anyio.CancelScope()
    return await _followed(_within(scope, work), scope.cancel)


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Await what must come to its end, however often the caller is cancelled meanwhile.

    When ``asyncio.run`` ends it cancels all tasks, and those that clean up cancel theirs once more.
    """
    return await _followed(work, lambda: None)


async def _followed(work: Coroutine[Any, Any, T], on_cancel: Callable[[], object]) -> T:
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            on_cancel()
            cancelled = error
    if cancelled is not None:
        seen(task)
        raise cancelled
    return task.result()


async def _within(scope: anyio.CancelScope, work: Coroutine[Any, Any, T]) -> T:
    with scope:
        return await work
    raise asyncio.CancelledError  # which the scope keeps to itself


def seen(task: asyncio.Future[Any]) -> None:
    """Look at what a task that has ended raised: asyncio complains when nobody ever does."""
    if not task.cancelled():
        task.exception()
