"""Waits that lose neither a result nor a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def wait_at_most(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event for a limited time; return whether it was set.

    ``asyncio.wait_for`` is not used: before Python 3.12, it swallows a cancellation that arrives in
    the same iteration of the loop as the event.

    Args:
        event: The event.
        seconds: Maximum time to wait, in seconds.
    """
    waiter = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiter}, timeout=seconds)
        return waiter.done() or event.is_set()
    finally:
        waiter.cancel()


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine for a limited time; cancel it then, or if the caller is cancelled.

    Args:
        seconds: Maximum time, in seconds; None: no limit.
        work: The coroutine. If it is cancelled, this function still waits for it to end.

    Raises:
        asyncio.TimeoutError: The time limit was exceeded.
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
    """Await something to its end, even if the caller is cancelled meanwhile.

    Several cancellations may arrive: ``asyncio.run`` cancels all tasks when it ends, and cleanup
    code may cancel them again.

    Args:
        work: What to await.

    Raises:
        asyncio.CancelledError: The caller was cancelled; raised after the work has ended.
    """
    task = asyncio.ensure_future(work)
    await all_ended([task])
    return task.result()


async def all_ended(
    futures: Collection[asyncio.Future[Any]], on_cancel: Callable[[], object] = lambda: None
) -> None:
    """Wait until all have ended, even if the caller is cancelled meanwhile.

    Args:
        futures: The futures; their exceptions are not raised.
        on_cancel: Called each time the caller is cancelled.

    Raises:
        asyncio.CancelledError: The caller was cancelled; raised after all have ended.
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
    """Mark a future's exception as retrieved, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
