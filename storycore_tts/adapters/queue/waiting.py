"""The queue's intervals and timeouts, and retries while the database fails."""

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
    """Calls a blocking function in a thread."""

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call ``function`` with ``arguments``."""


@dataclass(frozen=True)
class Intervals:
    """The queue's intervals and timeouts, in seconds.

    Args:
        polling: Between polls for queued jobs. Jobs that are submitted to this process, or that
            waited for a running job to end here, start without this delay.
        look: Between polls of jobs that run here or are watched.
        note: Between writes of a job's progress.
        stop: How long a cancelled handler may take to end.
        retry: Between retries while the database fails.
        patience: How long to retry for a running job.
        members: Between checks of the other processes that share the database or the folder.
        sweep: Between removals of expired data.
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
    """The result is no longer needed."""


async def patiently(
    ask: Callable[[], Awaitable[T]], intervals: Intervals, stopped: asyncio.Event
) -> T:
    """Query a database, and retry while it fails.

    Raises:
        StorageFailed: The database failed for too long.
        Stopped: The event was set.
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
