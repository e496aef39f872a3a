"""One job from graph to outcome: submitted exactly once, followed, and withdrawn when given up.

The rules, in short: we choose the prompt id; after a doubtful submission we look for it before we
say anything; events wake us, history decides; and whoever stops waiting takes the job off the
server, by its id and never by a global interrupt.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from storycore_tts.adapters.comfyui.failures import node_errors_error, refused_prompt_error
from storycore_tts.adapters.comfyui.rules import (
    Graph,
    Outcome,
    Succeeded,
    history_is_written,
    outcome_of_event,
    outcome_of_history,
)
from storycore_tts.adapters.comfyui.session import Session, WatchedJob
from storycore_tts.adapters.comfyui.transport import (
    BACKEND,
    PromptRefused,
    SubmissionUncertain,
    Submitted,
)
from storycore_tts.adapters.comfyui.waiting import wait_at_most
from storycore_tts.domain.errors import (
    BackendTimeout,
    BackendUnavailable,
    JobLost,
    TTSError,
)
from storycore_tts.domain.progress import Progress, Stage

_log = logging.getLogger(__name__)

# /interrupt takes a prompt id since September 2025; before, it stops whatever runs.
_TARGETED_INTERRUPT = (0, 3, 60)
# s; history is written after the event that announces the end, and a job that has just left the
# queue may not be in it yet.
_HISTORY_PAUSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)

_SUCCESS_TO_HISTORY = 0.1  # s to wait for the event that says that history is written

OnEvent = Callable[[str, Mapping[str, Any]], "Progress | None"]


@dataclass(frozen=True)
class JobDone:
    """A job that ended well.

    Args:
        outputs: By node id.
        queued: Seconds from submission to the start.
        running: Seconds from the start to the end.
    """

    outputs: Mapping[str, Any]
    queued: float
    running: float


class Job:
    """One prompt on the server.

    Args:
        session: Where it runs.
        graph: What runs.
        prompt_id: The id that we choose.
        node_id: Node whose broadcasts, which name no prompt, belong to this job.
        limit: The most seconds that the whole job may take.
        limit_name: The setting that says so.
        read_event: Turns an event of this job into progress, or None.
        report: Takes progress.
    """

    def __init__(
        self,
        session: Session,
        graph: Graph,
        *,
        prompt_id: str,
        node_id: str,
        limit: float,
        limit_name: str,
        read_event: OnEvent,
        report: Callable[[Progress], None],
    ) -> None:
        self._session = session
        self._transport = session.transport
        self._timeouts = session.config.comfyui.timeouts
        self._graph = graph
        self._watched = WatchedJob(prompt_id, node_id)
        self._limit, self._limit_name = limit, limit_name
        self._read_event = read_event
        self._report = report
        self._time = asyncio.get_running_loop().time
        self._submitted_at = self._last_sign = self._time()
        self._started_at: float | None = None
        self._ask_at = math.inf  # when to ask history although nobody said that it is written

    async def run(self) -> tuple[Outcome, JobDone]:
        """Submit, follow to the end, and say how it ended.

        Raises:
            TTSError: It was refused, lost, or took longer than it may.
            asyncio.CancelledError: The caller gave up; the job is off the server then.
        """
        with self._session.watching(self._watched):
            await self._session.stream.settle(self._timeouts.connect)
            submission = asyncio.ensure_future(self._submit())
            try:
                await asyncio.shield(submission)
                self._submitted_at = self._last_sign = self._time()
                self._watched.submitted = True
                self._report(Progress(Stage.QUEUED))
                outcome = await self._follow()
            except BaseException:
                await self._leave(submission)
                raise
        ended = self._time()
        started = self._started_at or self._submitted_at
        outputs = outcome.outputs if isinstance(outcome, Succeeded) else {}
        return outcome, JobDone(outputs, started - self._submitted_at, ended - started)

    async def _submit(self) -> None:
        """Put the graph into the queue, once."""
        wanted = self._watched.prompt_id
        try:
            submitted = await self._transport.submit(
                self._graph, prompt_id=wanted, client_id=self._session.stream.client_id
            )
        except PromptRefused as refused:
            raise refused_prompt_error(refused.body, self._graph) from None
        except SubmissionUncertain as uncertain:
            submitted = await self._find_submitted(uncertain.cause)
        self._watched.prompt_id = submitted.prompt_id  # old servers choose an id of their own
        if submitted.node_errors:
            await self._withdraw()  # the server runs what is left of the graph
            raise node_errors_error(submitted.node_errors)

    async def _find_submitted(self, cause: TTSError) -> Submitted:
        """Look for a prompt that the server may have taken.

        Raises:
            TTSError: ``cause``, when the server answers and does not know it, or does not answer.
        """
        wanted = self._watched.prompt_id
        give_up = self._time() + self._timeouts.away
        for pause in _pauses():
            try:
                snapshot = await self._transport.queue()
                if wanted in (*snapshot.running, *snapshot.pending):
                    return Submitted(wanted, {})
                other_id = snapshot.find(self._graph)
                if other_id is not None:
                    return Submitted(other_id, {})
                if await self._transport.history(wanted) is not None:
                    return Submitted(wanted, {})
                if pause > 1:  # the server has answered several times by now
                    break
            except BackendUnavailable as error:
                _log.info("looking for a job after a broken submission: %s", error)
            if self._time() + pause > give_up:
                break
            await asyncio.sleep(pause)
        raise cause

    async def _follow(self) -> Outcome:
        while True:
            self._watched.news.clear()
            outcome = await self._read_events() or await self._read_queue()
            if outcome is not None:
                return outcome
            if self._session.closed:
                raise BackendUnavailable("The client was closed in mid-job.", backend=BACKEND)
            self._check_limits()
            await wait_at_most(self._watched.news, self._next_limit())

    async def _read_events(self) -> Outcome | None:
        frames = self._watched.frames
        while frames:
            kind, data = frames.popleft()
            self._last_sign = self._time()
            outcome = outcome_of_event(kind, data)
            if outcome is not None:
                return outcome
            if kind == "execution_start":
                self._started()
            if kind == "execution_success":
                self._ask_at = self._time() + _SUCCESS_TO_HISTORY
            if history_is_written(kind, data):
                self._ask_at = self._time()
            progress = self._read_event(kind, data)
            if progress is not None:
                self._started()
                self._report(progress)
        if self._time() < self._ask_at:
            return None
        self._ask_at = math.inf
        try:
            return await self._ask_history()
        except BackendUnavailable as error:
            # Looks at the queue find out whether the server is gone, and lead here again.
            _log.info("history cannot be asked: %s", error)
            return None

    async def _read_queue(self) -> Outcome | None:
        """Draw conclusions from the last look at the queue."""
        job = self._watched
        snapshot, job.queue = job.queue, None
        if snapshot is None:
            if job.away_since is not None and self._time() - job.away_since > self._timeouts.away:
                raise self._went_away()
            return None
        if job.prompt_id in snapshot.running:
            self._started()
        elif job.prompt_id in snapshot.pending:
            if self._started_at is None:
                position = len(snapshot.running) + snapshot.pending.index(job.prompt_id)
                self._report(Progress(Stage.QUEUED, queue_position=position))
        else:
            return await self._ended_or_lost()
        return None

    async def _ended_or_lost(self) -> Outcome | None:
        """Judge a job that is not in the queue; None when history cannot be asked just now.

        Raises:
            JobLost: History does not know it either.
        """
        try:
            outcome = await self._ask_history()
        except BackendUnavailable as error:
            _log.info("history cannot be asked: %s", error)
            return None
        if outcome is None:
            raise JobLost(
                "The ComfyUI server no longer knows the job: it restarted, or another client "
                "deleted the job from its queue.",
                hint="Ask again; the text was not spoken.",
                backend=BACKEND,
            )
        return outcome

    async def _ask_history(self) -> Outcome | None:
        """Ask how the job ended; None when history still does not know after a few looks."""
        for pause in _HISTORY_PAUSES:
            await asyncio.sleep(pause)
            entry = await self._transport.history(self._watched.prompt_id)
            outcome = outcome_of_history(entry) if entry is not None else None
            if outcome is not None:
                return outcome
        return None

    def _started(self) -> None:
        if self._started_at is None:
            self._started_at = self._last_sign = self._time()
            self._report(Progress(Stage.LOADING))

    def _limits(self) -> list[tuple[float, str, float]]:
        """Return (when, which wait, how many seconds) for every limit that counts now."""
        limits = [(self._submitted_at + self._limit, self._limit_name, self._limit)]
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
            )

    def _went_away(self) -> BackendUnavailable:
        return BackendUnavailable(
            "The ComfyUI server went away while the job was under way and did not come back "
            f"within {self._timeouts.away:g} s. {self._watched.away_error}",
            backend=BACKEND,
        )

    async def _leave(self, submission: asyncio.Future[None]) -> None:
        """Take the job off the server, whatever ended our wait; no second cancel stops that.

        We wait for it a little; a server that is slower than that is told in the background.
        """
        leaving = self._session.in_background(self._withdraw_after(submission))
        over = self._time() + self._timeouts.cancel
        while not leaving.done() and self._time() < over:
            # A second cancellation changes nothing: the job must be off the server first.
            with suppress(asyncio.CancelledError):
                await asyncio.wait([leaving], timeout=over - self._time())

    async def _withdraw_after(self, submission: asyncio.Future[None]) -> None:
        await asyncio.wait([submission])
        if submission.cancelled() or submission.exception() is not None or self._session.closed:
            return
        try:
            await self._withdraw()
        except TTSError as error:
            _log.warning("job %s stays on the server: %s", self._watched.prompt_id, error)

    async def _withdraw(self) -> None:
        """Cancel the job wherever it is: waiting, running, or nowhere."""
        prompt_id = self._watched.prompt_id
        server = await self._session.server()
        if server.at_least(0, 26) and await self._transport.cancel_job(prompt_id):
            return
        await self._transport.delete_pending(prompt_id)
        if prompt_id not in (await self._transport.queue()).running:
            return
        if server.at_least(*_TARGETED_INTERRUPT):
            await self._transport.interrupt(prompt_id)
        else:
            _log.warning(
                "job %s runs on: ComfyUI %s can only stop whatever runs", prompt_id, server.version
            )


def new_prompt_id() -> str:
    """Return a prompt id that every server takes: a canonical lower-case UUID."""
    return str(uuid4())


def _pauses() -> list[float]:
    """Return the pauses between looks for a prompt that may be queued, in seconds."""
    return [0.1, 0.2, 0.4, 0.8, 1.6, *[2.0] * 30]
