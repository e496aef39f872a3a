"""Runs one job in this process, from its claim to its end."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.claims import Claim, Claims
from storycore_tts.adapters.queue.documents import Document
from storycore_tts.adapters.queue.waiting import Intervals, InThread, Stopped, patiently
from storycore_tts.concurrency.waiting import consume_exception, wait_at_most
from storycore_tts.domain.jobs import SUSPENDED, Failure, JobHandler, JobKind, Outcome
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import Progress
from storycore_tts.errors import BackendTimeout, StorageFailed, TTSError

_logger = logging.getLogger(__name__)


class JobRun:
    """A job that this process runs.

    Args:
        claim: The claimed job.
        time_limits: Maximum duration in seconds from now, unless the job's spec sets its own.
        intervals: Intervals and timeouts.
        claims: Stores the progress and the outcome.
        in_thread: Calls the blocking methods of ``claims`` in a thread.
        changed: Called when the job has changed.
    """

    def __init__(
        self,
        claim: Claim,
        time_limits: Mapping[JobKind, float],
        intervals: Intervals,
        claims: Claims,
        in_thread: InThread,
        changed: Callable[[], None],
    ) -> None:
        self.job_id = claim.job_id
        self.backend = claim.backend
        self.attempt = claim.attempt  # grows if another process requeues it and we claim it again
        self.is_recorded = False
        self.progress: Progress | None = None
        self._spec = claim.spec
        self._time_limits = time_limits
        self._intervals = intervals
        self._claims = claims
        self._in_thread = in_thread
        self._changed = changed
        self._stopped = asyncio.Event()
        self._over = asyncio.Event()  # there will be no more progress
        self._reason = ""
        self._noting: asyncio.Task[None] | None = None

    def stop(self, reason: str) -> None:
        """End the job without an outcome: it was cancelled or suspended."""
        self._reason = self._reason or reason
        self._stopped.set()

    async def run(self, perform: JobHandler) -> None:
        """Run the job and write its outcome, unless it is stopped."""
        try:
            document, audio = await self._outcome(perform)
            self._over.set()
            await patiently(lambda: self._finish(document, audio), self._intervals, self._stopped)
        except Stopped:
            pass
        except StorageFailed as error:  # the job will run again
            log_event(
                _logger, logging.ERROR, "job.outcome_lost", job=self.job_id, reason=error.message
            )
        finally:
            self._over.set()
            if self._noting is not None:
                self._noting.cancel()

    async def _finish(self, document: Document, audio: bytes) -> None:
        progress = documents.progress_to_json(self.progress)
        attempt = 0
        while attempt != self.attempt and not self.is_recorded:  # it may be claimed again
            attempt = self.attempt
            self.is_recorded = await self._in_thread(
                self._claims.finish, self.job_id, attempt, document, audio, progress
            )

    async def _outcome(self, perform: JobHandler) -> tuple[Document, bytes]:
        try:
            spec = documents.spec_from_json(self._spec)
        except StorageFailed as error:
            return documents.of_failure(Failure.of(error)), b""
        limit = spec.time_limit or self._time_limits[spec.kind]
        task = asyncio.ensure_future(perform(self.job_id, spec, self._report))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({task, stopped}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the queue or the loop is closing
            await self._end(task, SUSPENDED)
            raise
        finally:
            stopped.cancel()
        if self._stopped.is_set():
            await self._end(task, self._reason)
            raise Stopped
        if not task.done():
            await self._end(task, "time limit")
            return documents.of_failure(Failure.of(_too_slow(limit))), b""
        return self._document(task)

    def _document(self, task: asyncio.Future[Outcome]) -> tuple[Document, bytes]:
        try:
            outcome = task.result()
            return documents.of_success(outcome), outcome.audio
        except TTSError as error:
            return documents.of_failure(Failure.of(error)), b""
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - any bug in a handler
            return documents.of_failure(_internal(self.job_id, error)), b""

    async def _end(self, task: asyncio.Future[Outcome], reason: str) -> None:
        """Cancel a handler and wait a limited time for it to end."""
        task.cancel(reason)
        done, _ = await asyncio.wait({task}, timeout=self._intervals.stop)
        if done:
            consume_exception(task)
            return
        log_event(_logger, logging.WARNING, "job.does_not_stop", job=self.job_id, reason=reason)
        task.add_done_callback(consume_exception)

    def _report(self, progress: Progress) -> None:
        if self._over.is_set() or self._stopped.is_set():
            return  # the handler ignored its cancellation
        self.progress = progress
        self._changed()
        if self._noting is None or self._noting.done():
            self._noting = asyncio.ensure_future(self._note())

    async def _note(self) -> None:
        """Write the latest progress at intervals; short jobs end before the first write."""
        written: Progress | None = None
        while self.progress is not None and self.progress is not written:
            if await wait_at_most(self._over, self._intervals.note):
                return
            written = self.progress
            text = documents.progress_to_json(written)
            try:
                await self._in_thread(self._claims.note, self.job_id, self.attempt, text)
            except StorageFailed as error:  # not a reason to end the job
                log_event(_logger, logging.DEBUG, "job.progress_lost", reason=error.message)


def log_bug(job_id: str, error: BaseException) -> None:
    """Log where an error was raised; its message may contain user text, so it goes to DEBUG."""
    where = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    kind = type(error).__name__
    _logger.error("job.failed job=%s error=InternalError type=%s\n%s", job_id, kind, where)
    _logger.debug("job.failed job=%s", job_id, exc_info=error)


def _internal(job_id: str, error: BaseException) -> Failure:
    log_bug(job_id, error)
    return Failure(
        "InternalError",
        "The service failed at this job; the request is not the cause.",
        hint="Look for the job's id in the service's log.",
    )


def _too_slow(seconds: float) -> BackendTimeout:
    return BackendTimeout(
        f"The job took more than {seconds:g} s and was stopped.",
        wait="job",
        seconds=seconds,
        hint="Ask for less at once, or allow more time.",
        retryable=False,
    )
