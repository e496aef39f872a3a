"""Work that ends when its client hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from storycore_tts.concurrency.waiting import consume_exception

T = TypeVar("T")


class ClientLeft(Exception):
    """The client closed its connection; no answer can reach it."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await some work, and cancel it as soon as the client hangs up.

    Args:
        request: Whose body has been read already.
        work: What the client waits for.

    Raises:
        ClientLeft: The client hung up; the work was cancelled.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_hung_up(request))
    task.add_done_callback(consume_exception)
    watch.add_done_callback(consume_exception)
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        watch.result()  # raises what kept it from watching
        raise ClientLeft
    finally:
        for one in (task, watch):
            one.cancel()
        await asyncio.wait({task, watch})


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
