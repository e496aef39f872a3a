"""One job under way in this process: from the order to the document of its outcome."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.documents import Document
from storycore_tts.adapters.queue.tables import Tables
from storycore_tts.adapters.queue.waiting import Intervals, Stopped, patiently
from storycore_tts.concurrency.waiting import wait_at_most
from storycore_tts.domain.errors import BackendTimeout, StorageFailed, TTSError
from storycore_tts.domain.jobs import SUSPENDED, Failure, JobHandler, JobSpec, Outcome
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import Progress

_logger = logging.getLogger(__name__)

T = TypeVar("T")


class InThread(Protocol):
    """Calls what blocks in a thread."""

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call ``function`` with ``arguments``."""


class Work:
    """A job that this process does.

    Args:
        job_id: Which.
        order: What it shall do.
        time_limit: Seconds that it may take from now on.
        intervals: How long it waits.
        tables: Where its outcome goes.
        in_thread: How to call them.
        changed: Called when there is news.
    """

    def __init__(
        self,
        job_id: str,
        spec: JobSpec,
        time_limit: float,
        intervals: Intervals,
        tables: Tables,
        in_thread: InThread,
        changed: Callable[[], None],
    ) -> None:
        self.job_id = job_id
        self.started: int | None = None
        self.progress: Progress | None = None
        self.generation = 0  # counts up when the database gives the job to somebody else
        self._spec = spec
        self._time_limit = time_limit
        self._intervals = intervals
        self._tables = tables
        self._in_thread = in_thread
        self._changed = changed
        self._stopped = asyncio.Event()
        self._over = asyncio.Event()  # there will be no more news
        self._reason = ""
        self._settles_since: float | None = None
        self._noting: asyncio.Task[None] | None = None

    @property
    def settles(self) -> bool:
        """Whether it has an outcome, which DBOS is about to write down."""
        return self._settles_since is not None

    @property
    def settles_for(self) -> float:
        """Seconds that it has done so; 0 if it does not."""
        return 0.0 if self._settles_since is None else _clock() - self._settles_since

    def stop(self, reason: str) -> None:
        """End it without an outcome: it is cancelled, or put down."""
        self._reason = self._reason or reason
        self._stopped.set()

    async def run(self, perform: JobHandler) -> Document | None:
        """Do it.

        Returns:
            The document of its outcome, or None if there shall be none.
        """
        try:
            document = await self._done_or_begun()
            if document is None:
                document = await self._outcome(perform)
                await self._last_news()
        except StorageFailed as error:
            document = documents.of_failure(Failure.of(error))
        except Stopped:  # the job was cancelled, or is put down
            document = None
        finally:
            self._over.set()
            if self._noting is not None:
                self._noting.cancel()
        if document is not None:
            self._settles_since = _clock()
        return document

    async def _done_or_begun(self) -> Document | None:
        """Return what was made before: the process was killed, and DBOS had not heard of it."""
        kept = await self._patiently(self._tables.kept, self.job_id)
        if kept is None:
            await self._patiently(self._tables.begin, self.job_id)
            self.started = documents.now()
            self._changed()
        return kept

    async def _outcome(self, perform: JobHandler) -> Document | None:
        task = asyncio.ensure_future(perform(self.job_id, self._spec, self._report))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait(
                {task, stopped}, timeout=self._time_limit, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:  # the queue closes in a hurry, or the loop ends
            await self._end(task, SUSPENDED)
            raise
        finally:
            stopped.cancel()
        if self._stopped.is_set():
            await self._end(task, self._reason)
            return None
        if not task.done():
            await self._end(task, "time limit")
            return documents.of_failure(Failure.of(_too_slow(self._time_limit)))
        return await self._document(task)

    async def _document(self, task: asyncio.Future[Outcome]) -> Document | None:
        try:
            outcome = task.result()
            document = documents.of_success(outcome)
        except TTSError as error:
            return documents.of_failure(Failure.of(error))
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - whatever it is
            return documents.of_failure(_internal(self.job_id, error))
        return await self._patiently(self._tables.keep, self.job_id, document, outcome.audio)

    async def _patiently(self, function: Callable[..., T], *arguments: object) -> T:
        return await patiently(
            lambda: self._in_thread(function, *arguments), self._intervals, self._stopped
        )

    async def _end(self, task: asyncio.Future[Outcome], reason: str) -> None:
        """Cancel a performer and wait until it has ended, but not for ever."""
        task.cancel(reason)
        done, _ = await asyncio.wait({task}, timeout=self._intervals.stop)
        if done:
            _seen(task)
            return
        log_event(_logger, logging.WARNING, "job.does_not_stop", job=self.job_id, reason=reason)
        task.add_done_callback(_seen)

    def _report(self, progress: Progress) -> None:
        if self._over.is_set() or self._stopped.is_set():
            return  # it goes on, although it was told to end
        self.progress = progress
        self._changed()
        if self._noting is None or self._noting.done():
            self._noting = asyncio.ensure_future(self._note())

    async def _last_news(self) -> None:
        """Wait until the last news is written down: a job that has ended never changes."""
        self._over.set()
        if self._noting is not None and self._reason != SUSPENDED:
            await self._noting

    async def _note(self) -> None:
        """Write the last news down, and what comes while that is done."""
        written: Progress | None = None
        while self.progress is not None and self.progress is not written:
            written = self.progress
            try:
                await self._in_thread(
                    self._tables.note, self.job_id, documents.of_progress(written)
                )
            except StorageFailed as error:  # news is not worth a job
                log_event(_logger, logging.DEBUG, "job.progress_lost", reason=error.message)
            await wait_at_most(self._over, self._intervals.note)


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _seen(task: asyncio.Future[Outcome]) -> None:
    """Look at what became of a task, lest asyncio complain that nobody did."""
    if not task.cancelled():
        task.exception()


def log_bug(job_id: str, error: BaseException) -> None:
    """Log where an error came from; what it says may hold what a user wrote, and goes to DEBUG."""
    where = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    kind = type(error).__name__
    _logger.error("job.failed job=%s error=InternalError type=%s\n%s", job_id, kind, where)
    _logger.debug("job.failed job=%s", job_id, exc_info=error)


def _internal(job_id: str, error: BaseException) -> Failure:
    log_bug(job_id, error)
    return Failure(
        "InternalError",
        "The service failed at this job, through no fault of the order.",
        hint="Its log says more; look for the job's id.",
    )


def _too_slow(seconds: float) -> BackendTimeout:
    return BackendTimeout(
        f"The job took more than {seconds:g} s and was stopped.",
        wait="job",
        seconds=seconds,
        hint="Ask for less at once, or allow more time.",
        retryable=False,
    )
