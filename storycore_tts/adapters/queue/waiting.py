"""How long the queue waits for what, and for a database that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from storycore_tts.concurrency.waiting import wait_at_most
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import StorageFailed

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class InThread(Protocol):
    """Calls what blocks in a thread."""

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call ``function`` with ``arguments``."""


@dataclass(frozen=True)
class Intervals:
    """How often the queue looks, and how long it waits, in seconds.

    Args:
        polling: Between two looks for queued jobs. Jobs that are submitted to this process, and
            jobs that waited for one to end here, do not wait for it.
        look: Between two looks at jobs that run here or are watched.
        note: Between two writes of a job's progress.
        stop: How long a handler may take to end when it is cancelled.
        retry: Between two tries of a database that fails.
        patience: How long to retry for a job that is under way.
        members: Between two looks at the other processes that share the database or the folder.
        sweep: Between two removals of what is too old.
    """

    polling: float = 0.2
    look: float = 0.5
    note: float = 0.25
    stop: float = 10.0
    retry: float = 1.0
    patience: float = 600.0
    members: float = 1.0
    sweep: float = 600.0


class Stopped(Exception):
    """The answer is not needed any more."""


async def patiently(
    ask: Callable[[], Awaitable[T]], intervals: Intervals, stopped: asyncio.Event
) -> T:
    """Ask a database that may fail for a while.

    Raises:
        StorageFailed: It failed for too long.
        Stopped: The event was set meanwhile.
    """
    clock = asyncio.get_running_loop().time
    over = clock() + intervals.patience
    while True:
        try:
            return await ask()
        except StorageFailed as error:
            if clock() > over:
                raise
            log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
        if await wait_at_most(stopped, intervals.retry):
            raise Stopped
