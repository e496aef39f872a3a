"""Waiting: for an event, but not for ever, and for a database that fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.logs import log_event

T = TypeVar("T")

_KEEPS_TRYING = 600.0  # s that what takes long to make waits for a database that fails
_TRIES_EVERY = 1.0  # s

_logger = logging.getLogger(__name__)


class Stopped(Exception):
    """Nobody needs the answer any more."""


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


async def patiently(ask: Callable[[], Awaitable[T]], stopped: asyncio.Event | None = None) -> T:
    """Ask a database that may fail for a while.

    Raises:
        StorageFailed: It failed for too long.
        Stopped: The event was set meanwhile.
    """
    stopped = stopped or asyncio.Event()
    patience = time.monotonic() + _KEEPS_TRYING
    while True:
        try:
            return await ask()
        except StorageFailed as error:
            if time.monotonic() > patience:
                raise
            log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
        if await within(_TRIES_EVERY, stopped):
            raise Stopped
