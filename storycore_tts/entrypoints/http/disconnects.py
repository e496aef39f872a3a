"""Cancels work when its client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from storycore_tts.concurrency.waiting import consume_exception

T = TypeVar("T")


class ClientLeft(Exception):
    """The client closed its connection, so no response can be sent."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await work for a client, and cancel it if the client disconnects.

    Args:
        request: The request; its body must have been read.
        work: The work that the client is waiting for.

    Raises:
        ClientLeft: The client disconnected, and the work was cancelled.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_hung_up(request))
    task.add_done_callback(consume_exception)
    watch.add_done_callback(consume_exception)
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        watch.result()  # raises if watching failed
        raise ClientLeft
    finally:
        for one in (task, watch):
            one.cancel()
        await asyncio.wait({task, watch})


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
