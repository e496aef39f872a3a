"""Requests that lose no cancellation, and that end when their client closes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

from storycore_tts.adapters.comfyui.protocol.failures import closed_error
from storycore_tts.concurrency.waiting import all_ended

T = TypeVar("T")


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
            BackendUnavailable: ``aclose`` was called meanwhile.
        """
        scope = anyio.CancelScope()
        task = asyncio.ensure_future(_scoped(scope, work))
        self._scopes[task] = scope
        task.add_done_callback(self._scopes.pop)
        await all_ended([task], scope.cancel)
        if task.cancelled():
            raise closed_error()
        return task.result()

    async def aclose(self) -> None:
        """Cancel all requests, and wait until they have ended."""
        self.closed = True
        for scope in self._scopes.values():
            scope.cancel()
        if self._scopes:
            await asyncio.wait(list(self._scopes))


async def _scoped(scope: anyio.CancelScope, work: Coroutine[Any, Any, T]) -> T:
    with scope:
        return await work
    raise asyncio.CancelledError  # which the scope keeps to itself
