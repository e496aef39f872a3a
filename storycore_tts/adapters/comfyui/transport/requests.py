"""Runs requests so that no cancellation is lost and closing the client cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

from storycore_tts.adapters.comfyui.protocol.failures import closed_error
from storycore_tts.concurrency.waiting import all_ended

T = TypeVar("T")


class Requests:
    """Running requests, each in its own task and anyio cancel scope.

    httpx protects its cleanup with anyio shields, which do not hold off asyncio cancellations: one
    of these would interrupt the cleanup and leave connections open. On Python 3.10, anyio also
    confuses an asyncio cancellation with its own while it connects.
    """

    def __init__(self) -> None:
        self.closed = False
        self._scopes: dict[asyncio.Future[Any], anyio.CancelScope] = {}

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a request; if the caller is cancelled, the request is cancelled, too.

        Args:
            work: The request.

        Raises:
            BackendUnavailable: ``aclose`` was called while the request was running.
            asyncio.CancelledError: The caller was cancelled; raised after the request has ended.
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
        """Cancel all requests and wait until they have ended."""
        self.closed = True
        for scope in self._scopes.values():
            scope.cancel()
        if self._scopes:
            await asyncio.wait(list(self._scopes))


async def _scoped(scope: anyio.CancelScope, work: Coroutine[Any, Any, T]) -> T:
    with scope:
        return await work
    raise asyncio.CancelledError  # the scope has swallowed it
