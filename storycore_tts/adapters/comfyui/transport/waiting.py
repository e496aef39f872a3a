"""Waits in which no cancellation is lost, and requests that end when their client closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


class CutOff(Exception):
    """A request was under way when its client was closed."""


async def wait_at_most(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so many seconds; tell whether it came.

    Not ``asyncio.wait_for``: before Python 3.12 that swallows a cancellation which arrives in the
    same step of the loop as the event.
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


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Await what must come to its end, however often the caller is cancelled meanwhile.

    When ``asyncio.run`` ends it cancels all tasks, and those that clean up cancel theirs once more.
    """
    task = asyncio.ensure_future(work)
    cancelled = await _settled(task, lambda: None)
    if cancelled is not None:
        consume_exception(task)
        raise cancelled
    return task.result()


class Requests:
    """Requests under way, each in a task of its own, cancelled by the rules of anyio.

    httpx guards its clean-up by anyio's shields, and those do not hold off a cancellation of
    asyncio's: it would break off the closing of connections that the server has left, and leave the
    others open. Nor does a new connection of anyio's on Python 3.10 tell such a cancellation from
    the one that it uses itself.
    """

    def __init__(self) -> None:
        self.closed = False
        self._scopes: dict[asyncio.Future[Any], anyio.CancelScope] = {}

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a request; a cancellation of the caller cancels it, and is never swallowed.

        Raises:
            CutOff: ``aclose`` was called meanwhile.
        """
        scope = anyio.CancelScope()
        task = asyncio.ensure_future(_within(scope, work))
        self._scopes[task] = scope
        task.add_done_callback(self._scopes.pop)
        cancelled = await _settled(task, scope.cancel)
        if cancelled is not None:
            consume_exception(task)
            raise cancelled
        if task.cancelled():
            raise CutOff
        return task.result()

    async def aclose(self) -> None:
        """Cancel all requests, and wait until they have ended."""
        self.closed = True
        for scope in self._scopes.values():
            scope.cancel()
        if self._scopes:
            await asyncio.wait(list(self._scopes))


async def _settled(
    task: asyncio.Future[Any], on_cancel: Callable[[], object]
) -> asyncio.CancelledError | None:
    """Wait until a task has ended; return the caller's cancellation, if one came meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            on_cancel()
            cancelled = error
    return cancelled


async def _within(scope: anyio.CancelScope, work: Coroutine[Any, Any, T]) -> T:
    with scope:
        return await work
    raise asyncio.CancelledError  # which the scope keeps to itself


def consume_exception(task: asyncio.Future[Any]) -> None:
    """Retrieve what a task raised; asyncio complains about exceptions that are never retrieved."""
    if not task.cancelled():
        task.exception()
