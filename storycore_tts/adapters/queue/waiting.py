"""Waiting: how long, and for a database that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from storycore_tts.concurrency.waiting import wait_at_most
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.logs import log_event

T = TypeVar("T")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intervals:
    """How often the queue looks, and how long it waits, in seconds.

    Args:
        polling: Between two looks of DBOS at each queue; half of it is what a job waits for, when
            there is nothing else to wait for.
        look: Between two looks at jobs that run here or are watched.
        settling: The first pause between two looks at jobs that DBOS is about to end; it grows.
        settled: How long DBOS may take to write outcomes down when the queue closes.
        note: Between two writes of a job's progress.
        stop: How long a performer may take to end when it is cancelled.
        retry: Between two tries of a database that fails.
        patience: How long to retry for a job that is under way.
        members: Between two looks at the other processes that share the database.
        sweep: Between two removals of what is too old.
        lost: How long a job may be ours in the database, and not be done here, before it is put
            back into its queue.
    """

    polling: float = 0.2
    look: float = 0.5
    settling: float = 0.02
    settled: float = 10.0
    note: float = 0.25
    stop: float = 10.0
    retry: float = 1.0
    patience: float = 600.0
    members: float = 1.0
    sweep: float = 600.0
    lost: float = 15.0


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
