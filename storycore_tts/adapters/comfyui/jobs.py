"""One job from graph to outcome: followed to its end, and withdrawn when given up.

The rules, in short: events wake us, history decides; a job that the server forgot because it
restarted is submitted once more, one that somebody removed is not; and whoever stops waiting takes
the job off the server, by its id and never by a global interrupt.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from storycore_tts.adapters.comfyui.failures import closed_error, lost_error, removed_error
from storycore_tts.adapters.comfyui.http_errors import BACKEND
from storycore_tts.adapters.comfyui.rules import (
    Failed,
    Graph,
    Interrupted,
    Outcome,
    Succeeded,
    has_run,
    history_is_written,
    outcome_of_event,
    outcome_of_history,
)
from storycore_tts.adapters.comfyui.session import Session, WatchedJob
from storycore_tts.adapters.comfyui.submission import LOOKS, Submission
from storycore_tts.adapters.comfyui.waiting import wait_at_most
from storycore_tts.domain.errors import BackendTimeout, BackendUnavailable, TTSError
from storycore_tts.domain.jobs import PUT_DOWN
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import Progress, Stage

_log = logging.getLogger(__name__)

# s; history is written after the event that announces the end.
_HISTORY_PAUSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_SUCCESS_TO_HISTORY = 0.1  # s to wait for the event that says that history is written
_SUBMIT_AGAIN = (0.3, 0.7)  # s between attempts to give a lost job to a server that is just back

_GIVEN_AGAIN = "the ComfyUI server lost the job under way, and was given it again"

OnEvent = Callable[[str, Mapping[str, Any]], "Progress | None"]


@dataclass(frozen=True)
class JobPlan:
    """What a job is, and what to do with its news.

    Args:
        graph: What shall run.
        prompt_id: The id that we choose.
        node_id: Node whose broadcasts, which name no prompt, belong to this job.
        limit: The most seconds that the whole job may take.
        limit_name: The setting that says so.
        read_event: Turns an event of this job into progress, or None.
        report: Takes progress.
        known: An earlier call may have submitted it: pick it up if the server knows it.
        restore: Puts files that the graph needs back on a server that lost the job.
    """

    graph: Graph
    prompt_id: str
    node_id: str
    limit: float
    limit_name: str
    read_event: OnEvent
    report: Callable[[Progress], None]
    known: bool = False
    restore: Callable[[], Awaitable[object]] | None = None


@dataclass(frozen=True)
class JobDone:
    """A job that ended.

    Args:
        outcome: How.
        prompt_id: What the server calls it.
        graph: What ran.
        queued: Seconds from submission to the start.
        running: Seconds from the start to the end.
        warnings: What was done in spite of doubts.
    """

    outcome: Outcome
    prompt_id: str
    graph: Graph
    queued: float
    running: float
    warnings: tuple[str, ...]

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What its nodes wrote, by their ids; nothing unless it succeeded."""
        return self.outcome.outputs if isinstance(self.outcome, Succeeded) else {}


class Job:
    """One prompt on the server.

    Args:
        session: Where it runs.
        plan: What it is.
    """

    def __init__(self, session: Session, plan: JobPlan) -> None:
        self._session = session
        self._timeouts = session.config.comfyui.timeouts
        self._plan = plan
        self._watched = WatchedJob(plan.prompt_id, plan.node_id)
        self._submission = Submission(session, plan.graph, self._watched)
        self._time = asyncio.get_running_loop().time
        self._warnings: tuple[str, ...] = ()
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet of what becomes of a submission."""
        self._up_since = self._session.seen_up()
        self._has_run = False
        self._absences = 0  # looks at queue and history that found nothing, one after the other
        self._unread_since: float | None = None  # history fails since then
        self._unread = 0
        self._submitted_at = self._last_sign = self._time()
        self._started_at: float | None = None
        self._ask_at = math.inf  # when to ask history although nobody said that it is written

    async def run(self) -> JobDone:
        """Submit, follow to the end, and say how it ended.

        Raises:
            TTSError: It was refused, lost, or took longer than it may. From the moment in which the
                server may have the job, no error is ``retryable``: asked again, it might run twice.
            asyncio.CancelledError: The caller gave up; the job is off the server then.
        """
        with self._session.watching(self._watched):
            try:
                await self._session.stream.settle(self._timeouts.connect)
                await self._submit()
                outcome = await self._follow()
            except BaseException as error:
                await self._leave(error)
                raise
        return self._done(outcome)

    async def _submit(self) -> None:
        self._begin()
        if self._plan.known and await self._submission.pick_up():
            self._ask_at = self._time()  # it may have ended long ago
        else:
            await self._submission.submit()
        self._is_queued()

    def _is_queued(self) -> None:
        self._submitted_at = self._last_sign = self._time()
        self._watched.submission = object()
        self._plan.report(Progress(Stage.QUEUED))

    def _done(self, outcome: Outcome) -> JobDone:
        started = self._started_at or self._submitted_at
        done = JobDone(
            outcome,
            self._watched.prompt_id,
            self._submission.graph,
            queued=started - self._submitted_at,
            running=self._time() - started,
            warnings=self._warnings,
        )
        match outcome:
            case Succeeded():
                self._say(logging.INFO, "job.finished", queued=done.queued, running=done.running)
            case Interrupted():
                self._say(logging.WARNING, "job.failed", error="interrupted")
            case Failed():
                where, what = outcome.node_type or None, outcome.exception_type or None
                self._say(logging.WARNING, "job.failed", node=where, error=what)
                self._say(logging.DEBUG, "job.failed", message=outcome.message)
        return done

    async def _follow(self) -> Outcome:
        while True:
            self._watched.news.clear()
            outcome = await self._read_events() or await self._read_queue()
            if outcome is not None:
                return outcome
            if self._session.closed:
                raise closed_error()
            self._check_limits()
            await wait_at_most(self._watched.news, self._next_limit())

    async def _read_events(self) -> Outcome | None:
        frames = self._watched.frames
        while frames:
            outcome = self._read_event(*frames.popleft())
            if outcome is not None:
                return outcome
        if self._time() < self._ask_at:
            return None
        self._ask_at = math.inf
        try:
            return await self._ask_history()
        except BackendUnavailable as error:
            # Looks at the queue find out whether the server is gone, and lead here again.
            self._say(logging.DEBUG, "history.unread", error=error)
            return None

    def _read_event(self, kind: str, data: Mapping[str, Any]) -> Outcome | None:
        self._last_sign = self._time()
        outcome = outcome_of_event(kind, data)
        if outcome is not None:
            return outcome
        if kind == "execution_start":
            self._started()
        if has_run(kind, data):
            self._has_run = True
            self._up_since = self._session.seen_up()
            pause = 0.0 if history_is_written(kind, data) else _SUCCESS_TO_HISTORY
            self._ask_at = self._time() + pause
        progress = self._plan.read_event(kind, data)
        if progress is not None:
            self._started()
            self._plan.report(progress)
        return None

    async def _ask_history(self) -> Outcome | None:
        """Ask how a job ended that is said to have; None when history still does not know."""
        for pause in _HISTORY_PAUSES:
            await asyncio.sleep(pause)
            entry = await self._submission.entry()
            outcome = outcome_of_history(entry) if entry is not None else None
            if outcome is not None:
                return outcome
        return None

    async def _read_queue(self) -> Outcome | None:
        """Draw conclusions from the last look at the queue."""
        job = self._watched
        snapshot, job.queue = job.queue, None
        if snapshot is None:
            if job.away_since is not None and self._time() - job.away_since > self._timeouts.away:
                raise self._went_away()
            return None
        if job.prompt_id not in snapshot.graphs:
            return await self._judge_absent()
        self._absences = 0
        if job.prompt_id in snapshot.running:
            self._started()
        elif self._started_at is None:
            position = len(snapshot.running) + snapshot.pending.index(job.prompt_id)
            self._plan.report(Progress(Stage.QUEUED, queue_position=position))
        return None

    async def _judge_absent(self) -> Outcome | None:
        """Judge a job that is not in the queue, by one look at history for each at the queue.

        Raises:
            TTSError: History cannot be read, or does not know the job either, for the second time.
        """
        try:
            entry = await self._submission.entry()
        except BackendUnavailable as error:
            self._history_failed(error)
            return None
        self._unread, self._unread_since = 0, None
        outcome = outcome_of_history(entry) if entry is not None else None
        if outcome is not None:
            return outcome
        self._absences += 1
        if self._absences < LOOKS:
            self._session.look_soon()
            return None
        if entry is not None:
            return Succeeded({})  # it ended, and history does not say how: there is no output
        await self._lost()
        return None

    def _history_failed(self, error: BackendUnavailable) -> None:
        """Give history some time while the queue can be read.

        Raises:
            BackendUnavailable: That was long enough.
        """
        self._say(logging.DEBUG, "history.unread", error=error)
        self._unread += 1
        self._unread_since = self._unread_since or self._time()
        if self._unread >= LOOKS and self._time() - self._unread_since > self._timeouts.away:
            raise error
        self._session.look_soon()

    async def _lost(self) -> None:
        """Give the job to the server once more, if that forgot it.

        Raises:
            JobCancelled: The server was there all the time: somebody else removed the job.
            JobLost: It ran and left no trace, or was lost before.
        """
        self._say(logging.WARNING, "job.lost")
        if self._up_since is not None and self._up_since == self._session.seen_up():
            if self._has_run:
                raise lost_error("it ran, and left nothing in history")
            raise removed_error()
        if self._warnings:
            raise lost_error("it was lost twice, though it was submitted again")
        self._warnings = (_GIVEN_AGAIN,)
        self._watched.submission = self._watched.queue = None
        self._watched.frames.clear()
        await self._submit_again()
        self._is_queued()
        self._say(logging.WARNING, "job.resubmitted")

    async def _submit_again(self) -> None:
        """Submit once more; a server that goes away meanwhile may come back."""
        over = self._time() + self._timeouts.away
        while True:
            try:
                if self._plan.restore is not None:
                    await self._plan.restore()
                self._begin()
                return await self._submission.submit()
            except BackendUnavailable as error:
                if not error.retryable or self._session.closed or self._time() > over:
                    raise
            await asyncio.sleep(random.uniform(*_SUBMIT_AGAIN))

    def _started(self) -> None:
        if self._started_at is None:
            self._started_at = self._last_sign = self._time()
            self._say(logging.INFO, "job.started")
            self._plan.report(Progress(Stage.LOADING))

    def _limits(self) -> list[tuple[float, str, float]]:
        """Return (when, which wait, how many seconds) for every limit that counts now."""
        limits = [(self._submitted_at + self._plan.limit, self._plan.limit_name, self._plan.limit)]
        if self._started_at is None:
            limits.append(
                (self._submitted_at + self._timeouts.queue, "queue", self._timeouts.queue)
            )
        else:
            limits.append((self._last_sign + self._timeouts.idle, "idle", self._timeouts.idle))
        return limits

    def _next_limit(self) -> float:
        soonest = min(self._ask_at, *(when for when, _, _ in self._limits()))
        return max(0.0, soonest - self._time())

    def _check_limits(self) -> None:
        when, wait, seconds = min(self._limits())
        if self._time() >= when:
            said = {
                "queue": "waited behind other jobs",
                "idle": "gave no sign of life",
            }.get(wait, "did not finish")
            raise BackendTimeout(
                f"The job on ComfyUI {said} for {seconds:g} s and was withdrawn.",
                wait=wait,
                seconds=seconds,
                hint=f"The limit is tts.qwen.comfyui.timeouts.{wait}.",
                backend=BACKEND,
                retryable=False,
            )

    def _went_away(self) -> BackendUnavailable:
        return BackendUnavailable(
            "The ComfyUI server went away while the job was under way and did not come back "
            f"within {self._timeouts.away:g} s. {self._watched.away_error}",
            backend=BACKEND,
            retryable=False,
        )

    async def _leave(self, error: BaseException) -> None:
        """Take the job off the server, whatever ended our wait; no second cancel stops that.

        We wait for it a little; a server that is slower than that is told in the background, and so
        is one that does not answer at all.
        """
        cancelled = not isinstance(error, TTSError)
        if isinstance(error, TTSError):
            error.retryable = error.retryable and not self._submission.may_live
            self._say(logging.WARNING, "job.failed", error=type(error).__name__)
            self._say(logging.DEBUG, "job.failed", message=error.message)
        may_live = self._submission.may_live or (cancelled and self._plan.known)
        if self._session.closed or not may_live:
            return
        if self._plan.known and cancelled and PUT_DOWN in error.args:
            return  # asked again after a restart, we go on with it
        leaving = self._session.in_background(self._submission.withdraw())
        if not cancelled and self._session.away:
            return
        over = self._time() + self._timeouts.cancel
        while not leaving.done() and self._time() < over:
            # A second cancellation changes nothing: the job must be off the server first.
            with suppress(asyncio.CancelledError):
                await asyncio.wait([leaving], timeout=over - self._time())

    def _say(self, level: int, event: str, **fields: object) -> None:
        job = self._watched.prompt_id
        log_event(_log, level, event, job=job, backend=BACKEND, **fields)
