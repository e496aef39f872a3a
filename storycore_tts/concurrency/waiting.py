"""Waits that lose neither what they wait for nor a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def wait_at_most(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so many seconds; tell whether it came.

    Not ``asyncio.wait_for``: before Python 3.12 that swallows a cancellation which arrives in the
    same step of the loop as the event.
    """
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiter}, timeout=seconds)
        return waiter.done() or event.is_set()
    finally:
        waiter.cancel()


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Await something for a limited time; cancel it after that, or when the caller is cancelled.

    Args:
        seconds: At most; None: as long as it takes.
        work: What is awaited. After it was cancelled, its end is waited for.

    Raises:
        asyncio.TimeoutError: The time is up.
    """
    if seconds is None:
        return await work
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        in_time = task.done()
    finally:
        task.cancel()
        await all_ended([task], task.cancel)
    if not in_time:
        raise asyncio.TimeoutError
    return task.result()


async def unbroken(work: Awaitable[T]) -> T:
    """Await what must come to its end, however often the caller is cancelled meanwhile.

    When ``asyncio.run`` ends it cancels all tasks, and those that clean up cancel theirs once more.

    Raises:
        asyncio.CancelledError: The caller was cancelled; it is raised when the work has ended.
    """
    task = asyncio.ensure_future(work)
    await all_ended([task])
    return task.result()


async def all_ended(
    futures: Collection[asyncio.Future[Any]], on_cancel: Callable[[], object] = lambda: None
) -> None:
    """Wait until all have ended, even if the caller is cancelled meanwhile.

    Args:
        futures: What is waited for; their errors are left in them.
        on_cancel: Called at each cancellation of the caller.

    Raises:
        asyncio.CancelledError: The caller was cancelled; it is raised when all have ended.
    """
    cancelled: asyncio.CancelledError | None = None
    while pending := [future for future in futures if not future.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            on_cancel()
            cancelled = error
    for future in futures:
        consume_exception(future)
    if cancelled is not None:
        raise cancelled


def consume_exception(future: asyncio.Future[Any]) -> None:
    """Retrieve what a future raised; asyncio logs exceptions that are never retrieved."""
    if not future.cancelled():
        future.exception()
