"""The durable job queue and how its parts work together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from storycore_tts.adapters.queue import documents, older, tables
from storycore_tts.adapters.queue.affinities import JobAffinities
from storycore_tts.adapters.queue.claims import Claim, Claims, Standing
from storycore_tts.adapters.queue.housekeeping import Housekeeping
from storycore_tts.adapters.queue.identifiers import Identifiers
from storycore_tts.adapters.queue.members import Membership
from storycore_tts.adapters.queue.repository import LIVE, JobRepository
from storycore_tts.adapters.queue.storage import SCHEMA_LOCK, Storage
from storycore_tts.adapters.queue.uploads import Uploads
from storycore_tts.adapters.queue.waiting import Intervals, Stopped, patiently
from storycore_tts.adapters.queue.watching import Watching
from storycore_tts.adapters.queue.withdrawing import withdraw
from storycore_tts.adapters.queue.work import JobRun
from storycore_tts.concurrency.closing import AsyncCloseable
from storycore_tts.concurrency.waiting import all_ended, unbroken, wait_at_most
from storycore_tts.domain.jobs import (
    SUSPENDED,
    Failure,
    Job,
    JobHandler,
    JobKind,
    JobNotReady,
    JobSpec,
    JobState,
    StoredAudio,
    Withdrawn,
)
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import InvalidRequest, StorageFailed

T = TypeVar("T")

TIME_LIMITS: Mapping[JobKind, float] = {
    JobKind.SPEECH: 3600.0,
    JobKind.CLONE: 3600.0,
    JobKind.TRAINING: 172_800.0,
}
"""Default time limits in seconds, by kind of job."""

_THREADS = 8

_logger = logging.getLogger(__name__)


class DurableQueue(AsyncCloseable):
    """A ``JobQueue`` in a database; this process is one of its workers.

    With PostgreSQL, any number of processes share the work; with a folder, one process does it. The
    queue runs on the event loop on which it is started.

    Args:
        state_dir: The folder of the database file. Created if missing, with access for this user
            only. Not used if ``database_url`` is set.
        concurrency: Number of jobs that this process runs at a time, by backend; jobs for other
            backends are rejected. 0: this process accepts jobs but runs none.
        share: Whether other processes may use the folder too; they must also set it. All of them
            accept jobs and report on them; one runs them, and another takes over when it exits.
        database_url: ``postgresql://user:password@host:port/database``; None: a file.
        max_queued: Maximum number of queued jobs in the database, from all processes that share
            it; further jobs are rejected.
        retention_seconds: How long ended jobs with their audio, and unused uploads, are kept.
        time_limits: Maximum duration of a job in seconds from its start, by kind. The time starts
            again when the job is restarted because its process was killed.
        max_attempts: Maximum number of attempts for a job whose process dies each time.
        intervals: Polling intervals and timeouts.

    Raises:
        ConfigurationError: The URL is not a PostgreSQL URL.
    """

    def __init__(
        self,
        state_dir: Path,
        concurrency: Mapping[str, int],
        *,
        share: bool = False,
        database_url: str | None = None,
        max_queued: int = 10_000,
        retention_seconds: float = 604_800.0,
        time_limits: Mapping[JobKind, float] = TIME_LIMITS,
        max_attempts: int = 50,
        intervals: Intervals | None = None,
    ) -> None:
        self._intervals = intervals = intervals or Intervals()
        self._share = share
        self._concurrency = dict(concurrency)
        self._time_limits = {**TIME_LIMITS, **time_limits}
        worker = str(uuid4())
        self._storage = Storage(database_url, state_dir)
        self._identifiers = Identifiers()
        self._repository = JobRepository(self._storage, self._identifiers, max_queued)
        self._claims = Claims(self._storage, worker, max_attempts)
        self._membership = (
            Membership(self._storage, self._claims, worker, intervals.members)
            if self._storage.is_postgres
            else None
        )
        keep_uploads = max(retention_seconds, *self._time_limits.values())
        self._housekeeping = Housekeeping(self._storage, retention_seconds, keep_uploads)
        self._watching = Watching(
            self._look, lambda: self._works.keys(), self._found, intervals.look
        )
        self._works: dict[str, JobRun] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()  # there may be a job to claim
        self._is_unsure = False  # the database may list jobs as ours that we do not run
        self._threads = ThreadPoolExecutor(_THREADS, "storycore-tts-queue")
        self._calls: set[concurrent.futures.Future[Any]] = set()
        self._perform: JobHandler | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False
        self._closing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()  # no more database calls are made
        self.uploads = Uploads(self.check_open, self.in_thread, self._storage, self._identifiers)
        self.affinities = JobAffinities(self.patiently, self._storage)

    async def start(self, perform: JobHandler) -> None:
        """Start running jobs; see ``JobQueue.start``."""
        if self._perform is not None or self._closing is not None:
            raise StorageFailed("This queue was already used.", hint="Create a new one.")
        self._perform = perform
        try:
            await self.in_thread(self._open)
            if self._closing is not None:
                raise _not_open()
        except BaseException:
            await self.aclose()
            raise
        self._is_open = True
        self._tasks = [
            asyncio.ensure_future(self._watching.run()),
            asyncio.ensure_future(self._housekeeping.run(self.in_thread, self._intervals.sweep)),
            asyncio.ensure_future(self._do_jobs()),
        ]
        if self._membership is not None:
            self._tasks.append(asyncio.ensure_future(self._membership.run(self.in_thread)))

    def offer(self, backend: str, concurrency: int) -> None:
        """Accept and run jobs for another backend. Does nothing if the backend is known.

        Args:
            backend: Name of the backend.
            concurrency: Number of jobs to run at a time.
        """
        self._concurrency.setdefault(backend, concurrency)
        self._wanted.set()

    async def submit(self, spec: JobSpec) -> Job:
        """Accept a job; see ``JobQueue.submit``."""
        self.check_open()
        if spec.backend not in self._concurrency:
            known = ", ".join(sorted(self._concurrency))
            raise InvalidRequest(
                f"No jobs are run for the backend {spec.backend!r}.",
                hint=f"Use one of: {known}.",
            )
        job = await self.in_thread(self._repository.accept, spec)
        self._wanted.set()
        return job

    async def get(self, owner: str, job_id: str) -> Job:
        """Return a job; see ``JobQueue.get``."""
        self.check_open()
        return self._newest(await self.in_thread(self._repository.find, owner, job_id))

    async def jobs(
        self, owner: str, *, state: JobState | None = None, limit: int = 50, offset: int = 0
    ) -> Sequence[Job]:
        """List an owner's jobs; see ``JobQueue.jobs``."""
        self.check_open()
        found = await self.in_thread(self._repository.page, owner, state, limit, max(offset, 0))
        return [self._newest(job) for job in found]

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Cancel a job; see ``JobQueue.cancel``."""
        self.check_open()
        work = self._works.get(job_id)
        progress = documents.progress_to_json(work.progress) if work is not None else None
        if await self.in_thread(self._repository.cancel, owner, job_id, progress):
            if job_id in self._works:  # it may have started in the meantime
                self._works[job_id].stop("cancelled")
            self._watching.changed(job_id)
        return await self.get(owner, job_id)

    async def remove(self, owner: str, job_id: str) -> Job:
        """Delete a job that has ended; see ``JobQueue.remove``."""
        job = await self.get(owner, job_id)
        if not job.state.ended or job_id in self._works:
            raise JobNotReady("The job has not ended.", hint="Cancel it, and wait for its end.")
        await self.in_thread(self._housekeeping.remove, [job_id])
        return job

    async def withdraw(self, consent_id: str, recording: bytes, failure: Failure) -> Withdrawn:
        """Let unfinished jobs in a voice fail; see ``JobQueue.withdraw``."""
        self.check_open()
        found = await self.in_thread(withdraw, self._storage, consent_id, recording, failure)
        for job_id in found.ended:
            if job_id in self._works:
                self._works[job_id].stop("cancelled")
            self._watching.changed(job_id)
        return found

    async def audio(self, owner: str, job_id: str) -> StoredAudio:
        """Return a job's audio; see ``JobQueue.audio``."""
        job = await self.get(owner, job_id)
        return await self.in_thread(self._repository.audio, job)

    async def watch(self, owner: str, job_id: str) -> AsyncIterator[Job]:
        """Yield a job whenever it changes; see ``JobQueue.watch``."""
        seen: Job | None = None
        with self._watching.of(job_id) as news:
            while seen is None or not seen.state.ended:
                news.clear()
                try:
                    job = await self.get(owner, job_id)
                except StorageFailed:
                    if seen is None or not self._is_open:
                        raise
                    await wait_at_most(news, self._intervals.retry)
                    continue
                if job != seen:
                    seen = job
                    yield job
                else:
                    await news.wait()

    async def counts(self) -> Mapping[JobState, int]:
        """Return the number of queued and running jobs; see ``JobQueue.counts``."""
        self.check_open()
        return await self.in_thread(self._repository.counts)

    async def aclose(self) -> None:
        """Close the queue; running jobs are requeued. Safe to call twice.

        If cancelled, it still finishes closing, then raises.
        """
        if self._closing is None:
            self._is_open = False
            self._watching.wake_all()  # they will get an error: the queue is closed
            self._closing = asyncio.ensure_future(self._close())
        await unbroken(self._closing)

    # --- used by the parts of the queue

    def check_open(self) -> None:
        """Check that the queue is open.

        Raises:
            StorageFailed: The queue is not started, or is closed.
        """
        if not self._is_open:
            raise _not_open()

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a blocking function in a thread. Once started, it runs to its end if cancelled.

        Raises:
            StorageFailed: The queue is closed.
        """
        if self._closed.is_set():
            raise _not_open()
        call = self._threads.submit(function, *arguments)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(call)

    async def patiently(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a blocking function in a thread, and retry while the database fails.

        Raises:
            StorageFailed: The database failed for too long, or the queue is closed.
        """
        try:
            return await patiently(
                lambda: self.in_thread(function, *arguments), self._intervals, self._closed
            )
        except Stopped:
            raise _not_open() from None

    # --- start and end

    def _open(self) -> None:
        self._storage.open(share=self._share)
        with self._storage.writing(SCHEMA_LOCK) as connection:
            tables.metadata.create_all(connection)
        self._identifiers.load(self._storage)
        if self._membership is not None:
            self._membership.join()
        if self._storage.does_jobs:
            self._take_over()

    def _take_over(self) -> None:
        """Take over the jobs of earlier processes, before this process starts to run jobs."""
        older.take_over(self._storage)
        if not self._storage.is_postgres:  # there, ``members`` detects dead processes
            self._claims.requeue()

    def _succeed(self) -> bool:
        """Try to become the process that runs a folder's jobs; return whether it is."""
        if not self._storage.take():
            return False
        try:
            self._take_over()
        except StorageFailed:
            self._storage.give_back()  # another process may succeed
            raise
        return True

    def _shut(self) -> None:
        try:
            if self._tasks:  # it was open
                self._claims.release()
        except StorageFailed as error:  # other processes will find our lock released
            log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
        finally:
            if self._membership is not None:
                self._membership.leave()
            self._storage.close()

    async def _close(self) -> None:
        """Run all closing steps in order, even if one of them is cancelled."""
        async with AsyncExitStack() as stack:
            stack.callback(self._threads.shutdown)  # they are idle
            stack.push_async_callback(self._close_database)
            stack.push_async_callback(self._end_calls)
            stack.push_async_callback(self._end_tasks)
            for work in self._works.values():
                work.stop(SUSPENDED)
            if self._running:
                await asyncio.wait(self._running.values())

    async def _end_tasks(self) -> None:
        tasks = [*self._tasks, *self._running.values()]
        for task in tasks:
            task.cancel()
        await all_ended(tasks)

    async def _end_calls(self) -> None:
        """Wait for the calls in progress; no new ones start."""
        self._closed.set()
        await all_ended([asyncio.wrap_future(call) for call in list(self._calls)])

    async def _close_database(self) -> None:
        await unbroken(asyncio.wrap_future(self._threads.submit(self._shut)))

    # --- running jobs

    async def _do_jobs(self) -> None:
        """Wait until this process is the one that runs jobs, then run them until closed."""
        while not self._storage.does_jobs:
            await asyncio.sleep(self._intervals.members)
            try:
                if await self.in_thread(self._succeed):
                    log_event(_logger, logging.INFO, "queue.takes_over", executor="folder")
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
        while True:
            self._wanted.clear()
            try:
                await self._claim()
            except StorageFailed as error:
                self._is_unsure = True  # the claim may have been committed
                log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
                await asyncio.sleep(self._intervals.retry)
            await wait_at_most(self._wanted, self._intervals.polling)

    async def _claim(self) -> None:
        """Start as many jobs as there is capacity for."""
        if self._is_unsure:
            await self.in_thread(self._claims.requeue_lost, [*self._works])
            self._is_unsure = False
        room = dict(self._concurrency)
        for work in self._works.values():
            room[work.backend] -= 1
        room = {backend: number for backend, number in room.items() if number > 0}
        if room:
            for claim in await self.in_thread(self._claims.claim, room):
                self._begin(claim)

    def _begin(self, claim: Claim) -> None:
        """Run a job. If it already runs here, another process had requeued it: continue it."""
        if claim.job_id in self._works:
            self._works[claim.job_id].attempt = claim.attempt
            return
        if self._closing is not None or self._perform is None:
            return  # closing requeues it
        job_id = claim.job_id
        work = JobRun(
            claim,
            self._time_limits,
            self._intervals,
            self._claims,
            self.in_thread,
            lambda: self._watching.changed(job_id),
        )
        self._works[job_id] = work
        self._running[job_id] = task = asyncio.ensure_future(work.run(self._perform))
        task.add_done_callback(lambda _: self._done(work))
        self._watching.changed(job_id)
        self._watching.hurry()

    def _done(self, work: JobRun) -> None:
        del self._works[work.job_id], self._running[work.job_id]
        self._is_unsure = self._is_unsure or not work.is_recorded
        self._wanted.set()
        self._watching.changed(work.job_id)

    # --- polling jobs

    async def _look(self, job_ids: Collection[str]) -> Mapping[str, Standing]:
        return await self.in_thread(self._claims.look, job_ids)

    def _found(self, job_id: str, standing: Standing | None) -> None:
        """Compare a job's state in the database with its state here."""
        work = self._works.get(job_id)
        if work is None:
            return
        if standing is None or standing.state not in LIVE:
            work.stop("cancelled")
        elif not standing.is_ours:
            work.stop(SUSPENDED)  # another process considered us dead and runs it now

    def _newest(self, job: Job) -> Job:
        """Add the latest progress of a job that runs here, which may not be written yet."""
        work = self._works.get(job.id)
        if job.state is not JobState.RUNNING or work is None or work.progress is None:
            return job
        return replace(job, progress=work.progress)


def _not_open() -> StorageFailed:
    return StorageFailed("The job queue is not open.", hint="Start it first.")
