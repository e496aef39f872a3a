"""The queue itself: what people ask of it, and how its parts work together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.documents import Document
from storycore_tts.adapters.queue.housekeeping import Housekeeping
from storycore_tts.adapters.queue.members import Membership
from storycore_tts.adapters.queue.repository import JobRepository
from storycore_tts.adapters.queue.runtime import QUEUED, RUNNING, Entry, Runtime, Suspended
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.adapters.queue.tables import Tables
from storycore_tts.adapters.queue.waiting import Intervals, Stopped, patiently
from storycore_tts.adapters.queue.watching import Watching
from storycore_tts.adapters.queue.work import Work, log_bug
from storycore_tts.concurrency.waiting import all_ended, unbroken, wait_at_most
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.errors import InvalidRequest, StorageFailed
from storycore_tts.domain.jobs import (
    SUSPENDED,
    Job,
    JobHandler,
    JobKind,
    JobNotReady,
    JobSpec,
    JobState,
    StoredAudio,
)
from storycore_tts.domain.logs import log_event

T = TypeVar("T")

TIME_LIMITS: Mapping[JobKind, float] = {
    JobKind.SPEECH: 3600.0,
    JobKind.CLONE: 3600.0,
    JobKind.TRAINING: 172_800.0,
}
"""Seconds that a job may take, unless it says itself or the settings do."""

_LOCAL = "local"  # the executor of a folder, which has one process at a time
_THREADS = 8

_logger = logging.getLogger(__name__)
_in_use: DurableQueue | None = None


class DurableQueue:
    """Jobs in a database, and this process as one that does them: a ``JobQueue``.

    There can be one in a process. With PostgreSQL any number of processes share the work; with a
    folder, one does it. It works on the event loop on which it is started.

    Args:
        state_dir: Where the files are; made if it is missing, with access for this user only. Not
            touched if there is a ``database_url``.
        concurrency: Jobs that a process does at a time, for each backend; orders for others are
            refused. 0: this process accepts them and does none. Of processes that share a database
            and do jobs for the same backend, the one that started last sets the number for all.
        share: Let other processes use the folder too, if they say the same. All of them take jobs
            and tell of them; one does them, and when it is gone another one does.
        database_url: ``postgresql://user:password@host:port/database``; None: files.
        max_queued: Jobs that may wait in the database, of all who share it; more are refused.
        retention_seconds: How long ended jobs with their sounds, and unused uploads, are kept.
        time_limits: Seconds that a job may take from its start, for each kind. They count anew when
            it is begun anew, after its process was killed.
        max_attempts: How often a job is begun at most, in case it kills its process each time.
        intervals: How often it looks, and how long it waits.

    Raises:
        ConfigurationError: The URL is none of PostgreSQL.
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
        self._storage = Storage(database_url, state_dir)
        self._tables = Tables(self._storage)
        executor = str(uuid4()) if self._storage.is_postgres else _LOCAL
        self._concurrency = dict(concurrency)
        self._runtime = Runtime(
            self._storage,
            executor,
            {backend: number for backend, number in concurrency.items() if number},
            intervals.polling,
            max_attempts,
        )
        self._membership = (
            Membership(self._storage, self._tables, self._runtime, executor, intervals.members)
            if self._storage.is_postgres
            else None
        )
        self._ledger = JobRepository(self._runtime, self._tables, max_queued)
        self._time_limits = {**TIME_LIMITS, **time_limits}
        keep_uploads = max(retention_seconds, *self._time_limits.values())
        self._housekeeping = Housekeeping(
            self._runtime, self._tables, retention_seconds, keep_uploads
        )
        self._watching = Watching(self._look, self._running, self._settling, self._found, intervals)
        self._works: dict[str, tuple[Work, asyncio.Task[Document | None]]] = {}
        self._looked_at: Mapping[str, tuple[Work, int]] = {}  # and its generation then
        self._threads = ThreadPoolExecutor(_THREADS, "storycore-tts-queue")
        self._calls: set[concurrent.futures.Future[Any]] = set()
        self._perform: JobHandler | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._submitting = asyncio.Lock()
        self._is_open = False
        self._closing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()  # nothing of the database can be had any more
        self.uploads = Uploads(self)
        self.affinities = JobAffinities(self)

    async def __aenter__(self) -> DurableQueue:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def start(self, perform: JobHandler) -> None:
        """Begin to do jobs; see ``JobQueue.start``."""
        global _in_use
        if _in_use is not None or self._is_closing():
            raise StorageFailed(
                "This process has a durable queue already, or had this one.",
                hint="There can be one at a time: close it, and make a new one.",
            )
        Runtime.check_alone()
        _in_use = self
        self._perform = perform
        self._loop = asyncio.get_running_loop()
        try:
            await self.in_thread(self._open)
            if self._is_closing():
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
        """Take jobs for one more backend, and do them; nothing changes for one that is known.

        Args:
            backend: Its name.
            concurrency: Jobs at a time.
        """
        if backend not in self._concurrency:
            self._concurrency[backend] = concurrency
            self._tasks.append(asyncio.ensure_future(self._offer(backend, concurrency)))

    async def submit(self, spec: JobSpec) -> Job:
        """Accept a job; see ``JobQueue.submit``."""
        self.check_open()
        if spec.backend not in self._concurrency:
            known = ", ".join(sorted(self._concurrency))
            raise InvalidRequest(
                f"No jobs are done for the backend {spec.backend!r}.", hint=f"There are: {known}."
            )
        async with self._submitting:  # so that no two take the last place
            return await self.in_thread(self._ledger.accept, spec)

    async def get(self, owner: str, job_id: str) -> Job:
        """Return a job as it stands; see ``JobQueue.get``."""
        self.check_open()
        return self._newest(await self.in_thread(self._ledger.find, owner, job_id))

    async def jobs(
        self, owner: str, *, state: JobState | None = None, limit: int = 50, offset: int = 0
    ) -> Sequence[Job]:
        """List the jobs of an owner; see ``JobQueue.jobs``."""
        self.check_open()
        found = await self.in_thread(self._ledger.page, owner, state, limit, max(offset, 0))
        return [self._newest(job) for job in found]

    async def cancel(self, owner: str, job_id: str) -> Job:
        """Stop a job; see ``JobQueue.cancel``."""
        job = await self.get(owner, job_id)
        if job.state.ended:
            return job
        await self.in_thread(self._runtime.cancel, job_id)
        job = await self.get(owner, job_id)
        if job.state is JobState.CANCELLED and job_id in self._works:
            self._works[job_id][0].stop("cancelled")
        self._watching.changed(job_id)
        return job

    async def remove(self, owner: str, job_id: str) -> Job:
        """Forget a job that has ended; see ``JobQueue.remove``."""
        job = await self.get(owner, job_id)
        if not job.state.ended or job_id in self._works:
            raise JobNotReady("The job has not ended.", hint="Cancel it, and wait for its end.")
        await self.in_thread(self._housekeeping.remove, [job_id])
        return job

    async def audio(self, owner: str, job_id: str) -> StoredAudio:
        """Return the sound that a job made; see ``JobQueue.audio``."""
        job = await self.get(owner, job_id)
        return await self.in_thread(self._ledger.audio, job)

    async def watch(self, owner: str, job_id: str) -> AsyncIterator[Job]:
        """Yield a job at each change; see ``JobQueue.watch``."""
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
        """Return how many jobs are queued and running; see ``JobQueue.counts``."""
        self.check_open()
        counts = await self.in_thread(self._runtime.counts)
        return {
            JobState.QUEUED: sum(counts.get(status, 0) for status in QUEUED),
            JobState.RUNNING: sum(counts.get(status, 0) for status in RUNNING),
        }

    async def aclose(self) -> None:
        """Stop; what is under way is put down. Safe to call twice.

        Cancelled meanwhile, it stops all the same, and raises then.
        """
        if self._closing is None:
            self._is_open = False
            self._watching.wake_all()  # they will be told that it is closed
            self._closing = asyncio.ensure_future(self._close())
        await unbroken(self._closing)

    # --- for the parts of the queue

    @property
    def ledger(self) -> JobRepository:
        """What is asked of the databases for the sake of jobs."""
        return self._ledger

    @property
    def tables(self) -> Tables:
        """What is kept besides jobs."""
        return self._tables

    def check_open(self) -> None:
        """Refuse to work before the start and after the end.

        Raises:
            StorageFailed: Now is one of those times.
        """
        if not self._is_open:
            raise _not_open()

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what blocks. Once it has begun, it goes on should the caller be cancelled.

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
        """Call what blocks, again and again while the database fails.

        Raises:
            StorageFailed: It failed for too long, or the queue is closed.
        """
        try:
            return await patiently(
                lambda: self.in_thread(function, *arguments), self._intervals, self._closed
            )
        except Stopped:
            raise _not_open() from None

    # --- start and end

    def _is_closing(self) -> bool:
        return self._closing is not None

    def _open(self) -> None:
        with self._storage.opening():
            self._storage.open(share=self._share)
            self._tables.create()
            self._ledger.open()
            self._runtime.prepare()
            if self._membership is not None:
                self._membership.join()
            if self._storage.does_jobs:
                self._runtime.launch(self._execute)

    def _succeed(self) -> bool:
        """Do the jobs of a folder if nobody else does any more; tell whether we do them."""
        if not self._storage.take():
            return False
        try:
            self._runtime.launch(self._execute)
        except StorageFailed:
            self._storage.give_back()  # somebody else may have more luck
            raise
        return True

    async def _offer(self, backend: str, concurrency: int) -> None:
        try:
            await self.patiently(self._runtime.offer, backend, concurrency)
        except StorageFailed as error:
            log_event(_logger, logging.ERROR, "queue.database_fails", reason=error.message)

    def _shut(self) -> None:
        try:
            self._runtime.destroy()
        finally:
            try:
                if self._membership is not None:
                    self._membership.leave()
            finally:
                self._storage.close()

    async def _close(self) -> None:
        """End all there is, in this order, and should we be cancelled: what is left of it."""
        async with AsyncExitStack() as stack:
            stack.callback(self._end_threads)
            stack.push_async_callback(self._close_database)
            stack.push_async_callback(self._end_calls)
            stack.push_async_callback(self._end_tasks)
            await self._put_all_down()

    async def _put_all_down(self) -> None:
        """Stop the work that is under way, and let DBOS write down what was done."""
        for work, _ in self._works.values():
            work.stop(SUSPENDED)
        if tasks := [task for _, task in self._works.values()]:
            await asyncio.wait(tasks)
        deadline = asyncio.get_running_loop().time() + self._intervals.settled
        while self._settling() and asyncio.get_running_loop().time() < deadline:
            self._watching.hurry()
            await asyncio.sleep(0.01)  # DBOS tells nobody when it has written an outcome down

    async def _end_tasks(self) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *(task for _, task in self._works.values())]
        for task in tasks:
            task.cancel()
        await all_ended(tasks)

    async def _end_calls(self) -> None:
        """Wait for the calls that are under way; no more begin."""
        self._closed.set()
        await all_ended([asyncio.wrap_future(call) for call in list(self._calls)])

    async def _close_database(self) -> None:
        if _in_use is self:
            shut = asyncio.wrap_future(self._threads.submit(self._shut))
            await unbroken(shut)

    def _end_threads(self) -> None:
        global _in_use
        self._threads.shutdown()  # they are idle
        if _in_use is self:
            _in_use = None

    # --- doing jobs

    def _execute(self, job_id: str, spec: Document) -> Document:
        """Do a job, as DBOS asks for in a thread of its own."""
        if self._is_closing() or self._loop is None:
            raise Suspended
        work = self._do(job_id, spec)
        try:
            asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # the loop has ended
            work.close()
            raise Suspended from None
        try:
            document = asked.result()
        except concurrent.futures.CancelledError:  # the loop ends
            raise Suspended from None
        except Exception as error:  # noqa: BLE001 - a bug of ours; the job is taken up again
            log_bug(job_id, error)
            raise Suspended from None
        if document is None:
            raise Suspended
        return document

    async def _do(self, job_id: str, spec: Document) -> Document | None:
        """Do a job, or join those who do it already: it was given to us twice."""
        if self._is_closing() or self._perform is None:
            return None
        if job_id in self._works:
            self._works[job_id][0].generation += 1  # those who asked before wait in vain
        else:
            work = self._new_work(job_id, spec)
            task = asyncio.ensure_future(work.run(self._perform))
            task.add_done_callback(lambda _: self._done(job_id, work))
            self._works[job_id] = work, task
            self._watching.hurry()
        work, task = self._works[job_id]
        generation = work.generation
        document = await asyncio.shield(task)
        return document if generation == work.generation else None

    def _new_work(self, job_id: str, document: Document) -> Work:
        spec = documents.spec_from_json(document)
        return Work(
            job_id,
            spec,
            spec.time_limit or self._time_limits[spec.kind],
            self._intervals,
            self._tables,
            self.in_thread,
            lambda: self._watching.changed(job_id),
        )

    def _done(self, job_id: str, work: Work) -> None:
        kept, _ = self._works.get(job_id, (None, None))
        if kept is work and not work.settles:
            del self._works[job_id]
        self._watching.hurry()

    # --- looking at jobs

    def _running(self) -> Collection[str]:
        return self._works.keys()

    def _settling(self) -> Collection[str]:
        return [job_id for job_id, (work, _) in self._works.items() if work.settles]

    async def _look(self, job_ids: Collection[str]) -> Mapping[str, tuple[Entry, int]]:
        self._looked_at = {id_: (work, work.generation) for id_, (work, _) in self._works.items()}
        return await self.in_thread(self._look_up, job_ids)

    def _look_up(self, job_ids: Collection[str]) -> Mapping[str, tuple[Entry, int]]:
        notes = self._tables.notes(job_ids)
        return {
            entry.id: (entry, notes[entry.id].updated if entry.id in notes else 0)
            for entry in self._runtime.entries(job_ids)
        }

    def _found(self, job_id: str, entry: Entry | None) -> None:
        """Compare what the database has of a job with what is done here."""
        if job_id not in self._works:
            return
        work, _ = self._works[job_id]
        if self._looked_at.get(job_id) != (work, work.generation):
            return  # it was begun after we looked, or given to us again
        if entry is not None and self._is_anothers(entry):
            work.generation += 1  # it took us for dead; the work may end, but not be written down
        elif entry is None or entry.status not in RUNNING:
            if not work.settles:
                work.stop("cancelled")
            else:
                del self._works[job_id]
                self._watching.changed(job_id)
        elif work.settles_for > self._intervals.lost:  # DBOS failed to write it down
            del self._works[job_id]

    def _is_anothers(self, entry: Entry) -> bool:
        elsewhere = entry.executor != self._runtime.executor
        return entry.status in QUEUED or (entry.status in RUNNING and elsewhere)

    async def _do_jobs(self) -> None:
        """Wait until it is we who do the jobs, and then see that none is lost."""
        does_jobs = self._storage.does_jobs
        while not does_jobs:
            await asyncio.sleep(self._intervals.members)
            try:
                does_jobs = await self.in_thread(self._succeed)
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)
            else:
                if does_jobs:
                    log_event(_logger, logging.INFO, "queue.takes_over", executor=_LOCAL)
        await self._look_for_lost_jobs()

    async def _look_for_lost_jobs(self) -> None:
        """Take up again what the database says we do, and we do not.

        Such a job was taken from its queue, and then the database failed: DBOS leaves it at that.
        """
        lost: set[str] = set()
        me = self._runtime.executor
        while True:
            await asyncio.sleep(self._intervals.lost)
            try:
                seen = {*await self.in_thread(self._runtime.done_by, me)} - self._works.keys()
                for job_id in seen & lost:
                    log_event(_logger, logging.WARNING, "job.taken_up_again", job=job_id)
                    await self.in_thread(self._runtime.requeue, job_id, me)
                lost = seen - lost
            except StorageFailed as error:
                log_event(_logger, logging.WARNING, "queue.database_fails", reason=error.message)

    def _newest(self, job: Job) -> Job:
        """Add what we know of a job that is done here and has not been written down."""
        if job.state not in (JobState.RUNNING, JobState.CANCELLED) or job.id not in self._works:
            return job
        work, _ = self._works[job.id]
        return job if work.progress is None else replace(job, progress=work.progress)


def _not_open() -> StorageFailed:
    return StorageFailed("The queue of jobs is not open.", hint="Start it first.")


class Uploads:
    """The recordings that people sent, in the queue's database: an ``UploadStore``.

    Args:
        queue: Whose database.
    """

    def __init__(self, queue: DurableQueue) -> None:
        self._queue = queue

    async def put(self, owner: str, data: bytes) -> str:
        """Keep some bytes; see ``UploadStore.put``."""
        self._queue.check_open()
        return await self._queue.in_thread(self._queue.ledger.put_upload, owner, data)

    async def get(self, owner: str, upload_id: str) -> bytes:
        """Return the bytes; see ``UploadStore.get``."""
        self._queue.check_open()
        return await self._queue.in_thread(self._queue.ledger.upload, owner, upload_id)


class JobAffinities:
    """Where jobs were begun, in the queue's database: a ``JobAffinityStore``.

    Args:
        queue: Whose database.
    """

    def __init__(self, queue: DurableQueue) -> None:
        self._queue = queue

    async def find(self, job_id: str) -> BackendEndpoint | None:
        """Return where a job was begun; see ``JobAffinityStore.find``."""
        return await self._queue.patiently(self._queue.tables.endpoint, job_id)

    async def note(self, job_id: str, endpoint: BackendEndpoint) -> None:
        """Write down where a job is begun now; see ``JobAffinityStore.note``."""
        await self._queue.patiently(self._queue.tables.note_endpoint, job_id, endpoint)
