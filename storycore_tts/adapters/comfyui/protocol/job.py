"""One job on a ComfyUI server, from its graph to its outcome, as a state machine without I/O.

The machine is told what happened (events, answers, failures, the time, a cancellation) and says
what to do next: commands, each answered by one of its methods, and progress to report. It never
waits and has no clock of its own, so that every rule is a unit test. ``runner`` drives it.

The rules, in short:

* We choose the prompt id. After a doubtful submission the job is searched for in the queue and in
  history, and the same graph is submitted again, with the same id, only where a server that answers
  knows neither: ComfyUI caches what it has just made, so even then it generates nothing twice.
* ``execution_success`` together with the output of the last node is the result. Without one of
  them, history decides, asked when an event or a queue snapshot says that the job has ended.
* A job that the server forgot because it restarted is submitted once more. One that was removed
  while the server was there all the time is not.
* However we leave, the job is taken off the server first: deleted or interrupted by its id, never
  by a global interrupt. Nothing is submitted after a cancellation. ComfyUI forgets an interruption
  that comes between taking a job out of its queue and the job's first event; a job that runs and
  was not heard of yet is therefore interrupted twice.
"""

from __future__ import annotations

import logging
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.failures import (
    closed_error,
    lost_error,
    node_errors_error,
    other_kind_error,
    removed_error,
    timed_out_error,
    went_away_error,
)
from storycore_tts.adapters.comfyui.protocol.graphs import OUTPUT_ID
from storycore_tts.adapters.comfyui.protocol.messages import (
    Failed,
    Graph,
    Interrupted,
    Outcome,
    QueueSnapshot,
    Succeeded,
    graph_of_history,
    has_run,
    history_is_written,
    outcome_of_event,
    outcome_of_history,
)
from storycore_tts.domain.errors import BackendUnavailable, TTSError
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.settings import ComfyUITimeouts

_log = logging.getLogger(__name__)

MAX_POLLS = 3  # of queue and history, one after the other, before a job counts as unknown
MAX_SUBMISSIONS = 3  # of one job that the server does not seem to take
MAX_PROGRESS = 256  # reports that wait for the runner; the oldest are dropped

# s; history is written after the event that announces the end.
_HISTORY_PAUSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_SUCCESS_TO_HISTORY = 0.1  # s to wait for the event that says that history is written
_BEFORE_SUBMISSION = (0.1, 0.4)  # s before the second submission, twice that before the third
_BEFORE_RESUBMISSION = (0.3, 0.7)  # s between attempts to give a job to a server that is just back
_BETWEEN_WITHDRAWALS = 0.3  # s

_GIVEN_AGAIN = "the ComfyUI server lost the job under way, and was given it again"

OnEvent = Callable[[str, Mapping[str, Any]], "Progress | None"]


class Command(Enum):
    """What the machine asks for; the comments name the methods that answer it."""

    SUBMIT = "POST the graph"  # submitted, submission_refused, submission_uncertain
    FETCH_HISTORY = "fetch the history entry"  # history_answered, history_failed
    POLL_QUEUE = "fetch a fresh queue snapshot"  # queue_answered, queue_failed
    RESTORE_FILES = "upload the graph's files again"  # files_restored, restoring_failed
    WITHDRAW = "delete or interrupt the job"  # withdrawn, withdrawal_failed


class Phase(Enum):
    """Where a job stands, as its client sees it."""

    CONNECTING = "waiting for the event stream"
    LOOKING_UP = "looking for the job of an earlier call"
    SUBMITTING = "submitting"
    SEARCHING = "searching for a job that the server may have taken"
    PAUSING = "pausing before the next attempt"
    RESTORING = "uploading files again"
    FOLLOWING = "following"
    LEAVING = "withdrawing"
    ENDED = "ended"


_MAY_RUN = (Phase.SUBMITTING, Phase.SEARCHING, Phase.PAUSING, Phase.FOLLOWING)


@dataclass(frozen=True)
class JobPlan:
    """What a job is.

    Args:
        graph: What shall run.
        prompt_id: The id that we choose.
        node_id: Node whose broadcasts, which name no prompt, belong to this job.
        timeouts: How long each wait may be.
        read_event: Turns an event of this job into progress, or None.
        limit: Which of the timeouts is that of the whole job.
        known: An earlier call may have submitted it: pick it up if the server knows it.
        has_files: The graph needs files that a server that restarted may have lost.
    """

    graph: Graph
    prompt_id: str
    node_id: str
    timeouts: ComfyUITimeouts
    read_event: OnEvent
    limit: Literal["job", "training"] = "job"
    known: bool = False
    has_files: bool = False


@dataclass(frozen=True)
class Withdrawn:
    """What the server was told to drop.

    Args:
        known_as: The id by which the queue listed it; None if it did not, or was not asked.
        runs: It was under way, and so interrupted instead of deleted.
    """

    known_as: str | None = None
    runs: bool = False


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


class JobMachine:
    """Follows one job. All times are seconds of one monotonic clock.

    Args:
        plan: What the job is.
        connected: Whether the event stream is connected.
        between: Chooses a pause between two bounds; to be replaced in tests.
    """

    def __init__(
        self,
        plan: JobPlan,
        *,
        connected: bool,
        between: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.plan = plan
        self.phase = Phase.CONNECTING
        self.prompt_id = plan.prompt_id
        self.graph = plan.graph
        self.submissions = 0  # POSTs that were begun
        self.certain = False  # the server named the job
        self.alive = False  # an event proved that the server has the job
        self.may_live = False  # the server may have the job
        self.cancelled = False
        self.done: JobDone | None = None
        self.error: TTSError | None = None
        self.leave_by = math.inf  # when the caller need not wait any longer for the withdrawal
        self._timeouts = plan.timeouts
        self._between = between
        self._connected = connected
        self._commands: list[Command] = []
        self._progress: deque[Progress] = deque(maxlen=MAX_PROGRESS)
        self._in_flight: set[Command] = set()
        self._warnings: tuple[str, ...] = ()
        self._stale: Mapping[str, Any] | None = None  # history of an earlier run of the same id
        self._wake_at = math.inf  # end of a pause
        self._cause: TTSError | None = None  # of the doubt about the submission
        self._resubmit_until: float | None = None  # set while a lost job is given again
        self._lived_before_post = False
        self._withdraw_until = math.inf
        self._withdrawals_left = 0
        self._forget(0.0)

    def _forget(self, now: float) -> None:
        """Know nothing of what becomes of the next submission."""
        self._unbroken = self._connected  # the server was there all the time
        self.alive = False
        self._started_at: float | None = None
        self._has_run = False
        self._succeeded = False
        self._outputs: dict[str, Any] = {}
        self._bad_end: Outcome | None = None
        self._absences = 0  # polls of queue and history that found nothing, one after the other
        self._unread, self._unread_since = 0, now
        self._silent_since: float | None = None
        self._posted = 0
        self._submitted_at = self._last_sign = self._asked_from = now
        self._ask_at = math.inf  # when to fetch history although no snapshot lacks the job
        self._asks = 0

    # What the runner reads

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase is Phase.ENDED

    @property
    def deadline(self) -> float:
        """When ``tick`` must be called at the latest."""
        match self.phase:
            case Phase.FOLLOWING:
                return min(self._ask_at, self._soonest_limit()[0])
            case _:
                return self._wake_at

    def take_commands(self) -> list[Command]:
        """Return what is to be done, once."""
        commands, self._commands = self._commands, []
        return commands

    def take_progress(self) -> list[Progress]:
        """Return what is to be reported, once."""
        news = list(self._progress)
        self._progress.clear()
        return news

    # What happens

    def start(self, now: float) -> None:
        """Begin: the event stream is connected, or cannot be."""
        if self.phase is not Phase.CONNECTING:
            return
        self._forget(now)
        if self.plan.known:
            self.phase = Phase.LOOKING_UP
            self._do(Command.POLL_QUEUE)
        else:
            self._submit()

    def stream_changed(self, *, connected: bool) -> None:
        """Take note that the event stream connected, or that it broke."""
        self._connected = connected
        self._unbroken = self._unbroken and connected

    def event(self, kind: str, data: Mapping[str, Any], now: float) -> None:
        """Take an event of this job; ``kind`` and ``data`` are the frame's type and data.

        An event also proves that the server has the job, whatever became of the answer to the POST.
        """
        if self.phase not in _MAY_RUN:
            return
        self._last_sign, self._silent_since, self.alive = now, None, True
        self.certain = self.certain or data.get("prompt_id") == self.prompt_id
        self._bad_end = self._bad_end or outcome_of_event(kind, data)
        if kind == "execution_start":
            self._started(now)
        node, output = data.get("node"), data.get("output")
        if kind == "executed" and node in self.graph and isinstance(output, dict):
            self._outputs[str(node)] = output
        if has_run(kind, data):
            self._has_run, self._unbroken = True, self._connected
            self._succeeded = self._succeeded or kind == "execution_success"
            self._asks = 0
            self._ask_at = now if history_is_written(kind, data) else now + _SUCCESS_TO_HISTORY
        try:
            progress = self.plan.read_event(kind, data)
        except TTSError as error:
            self._fail(error, now)
            return
        if progress is not None:
            self._started(now)
            self._progress.append(progress)
        if self.phase in (Phase.SEARCHING, Phase.PAUSING):
            self._found(now)
        else:
            self._conclude(now)

    def submitted(self, prompt_id: str, node_errors: Mapping[str, Any], now: float) -> None:
        """The server took the job, and calls it by this id."""
        self._in_flight.discard(Command.SUBMIT)
        self._is_known_as(prompt_id)
        if self.ended:
            return  # suspended meanwhile
        if self.phase is Phase.LEAVING:
            self._withdraw(now)
        elif node_errors:  # the server runs what is left of the graph
            self._fail(node_errors_error(node_errors), now)
        else:
            self._say(logging.INFO, "job.submitted")
            self._follow(now)

    def submission_refused(self, error: TTSError, now: float) -> None:
        """The job is certainly not in the queue: refused, or never sent."""
        self._in_flight.discard(Command.SUBMIT)
        self.may_live = self._lived_before_post or self.alive
        if self.ended:
            return
        if self.phase is Phase.LEAVING:
            self._withdraw(now)
        elif self._posted > 1 and isinstance(error, BackendUnavailable):
            self._doubt(error, now)
        else:
            self._submission_failed(error, now)

    def submission_uncertain(self, cause: TTSError, now: float) -> None:
        """The connection failed after the server may have taken the job."""
        self._in_flight.discard(Command.SUBMIT)
        if self.ended:
            return
        if self.phase is Phase.LEAVING:
            self._withdraw(now)
        elif self.alive:
            self._found(now)
        else:
            self._doubt(cause, now)

    def queue_answered(self, snapshot: QueueSnapshot, asked_at: float, now: float) -> None:
        """Take a queue snapshot; what was asked before the submission says nothing of it."""
        self._in_flight.discard(Command.POLL_QUEUE)
        if asked_at < self._asked_from or Command.FETCH_HISTORY in self._in_flight:
            return self._poll_if_needed()
        match self.phase:
            case Phase.LOOKING_UP:
                known = self.listed(snapshot)
                if known is None:
                    self._do(Command.FETCH_HISTORY)
                else:
                    self._pick_up(known, snapshot.graphs[known], now)
            case Phase.SEARCHING:
                known = self.listed(snapshot)
                if known is None:
                    self._do(Command.FETCH_HISTORY)
                else:
                    self._is_known_as(known)
                    self._found(now)
            case Phase.FOLLOWING:
                self._silent_since = None
                self._read_queue(snapshot, now)
        return None

    def queue_failed(self, error: TTSError, asked_at: float, now: float) -> None:
        """The server did not answer when it was asked for its queue."""
        self._in_flight.discard(Command.POLL_QUEUE)
        self._unbroken = False
        if asked_at < self._asked_from:
            return self._poll_if_needed()
        if self.phase is Phase.LOOKING_UP:
            self._fail(error, now)
        elif self.phase is Phase.SEARCHING:
            self._search_failed(error, now)
        elif self.phase is Phase.FOLLOWING and self._is_silent_too_long(now):
            self._fail(went_away_error(self._timeouts.away, error), now)
        return None

    def history_answered(self, entry: Mapping[str, Any] | None, now: float) -> None:
        """Take the job's entry in history; None where there is none."""
        self._in_flight.discard(Command.FETCH_HISTORY)
        if entry is not None and entry == self._stale:
            entry = None
        match self.phase:
            case Phase.LOOKING_UP:
                self._look_up_in(entry, now)
            case Phase.SEARCHING:
                self._search_in(entry, now)
            case Phase.FOLLOWING:
                self._read_history(entry, now)

    def history_failed(self, error: TTSError, now: float) -> None:
        """History could not be read."""
        self._in_flight.discard(Command.FETCH_HISTORY)
        match self.phase:
            case Phase.LOOKING_UP:
                self._fail(error, now)
            case Phase.SEARCHING:
                self._search_failed(error, now)
            case Phase.FOLLOWING:
                self._history_unread(error, now)

    def files_restored(self, _: None, now: float) -> None:
        """The graph's files are on the server again."""
        self._in_flight.discard(Command.RESTORE_FILES)
        if self.phase is Phase.RESTORING:
            self._forget(now)
            self._submit()

    def restoring_failed(self, error: TTSError, now: float) -> None:
        """The graph's files could not be uploaded again."""
        self._in_flight.discard(Command.RESTORE_FILES)
        if self.phase is Phase.RESTORING:
            self._submission_failed(error, now)

    def withdrawn(self, told: Withdrawn, now: float) -> None:
        """The server was told to drop the job."""
        self._in_flight.discard(Command.WITHDRAW)
        if self.phase is not Phase.LEAVING:
            return
        if told.known_as is not None:
            self._is_known_as(told.known_as)
        self._withdrawals_left -= 1
        # One that no snapshot has listed may still be on its way into the queue, and one that has
        # sent no event may have begun only after it was interrupted.
        is_gone = self.certain and (self.alive or not told.runs)
        if is_gone or self._withdrawals_left <= 0:
            self._end("job.withdrawn", logging.INFO)
        else:
            self._wake_at = now + _BETWEEN_WITHDRAWALS

    def withdrawal_failed(self, error: TTSError, now: float) -> None:
        """The server did not answer when it was told to drop the job."""
        self._in_flight.discard(Command.WITHDRAW)
        if self.phase is not Phase.LEAVING:
            return
        self._say(logging.DEBUG, "job.stays", error=error)
        if now >= self._withdraw_until:
            self._end("job.abandoned", logging.WARNING)
        else:
            self._wake_at = now + _BETWEEN_WITHDRAWALS

    def tick(self, now: float) -> None:
        """Do what is due; to be called at ``deadline`` and as often as one likes."""
        match self.phase:
            case Phase.FOLLOWING:
                if now >= self._ask_at:
                    self._ask_at = math.inf
                    self._do(Command.FETCH_HISTORY)
                self._check_limits(now)
            case Phase.PAUSING if now >= self._wake_at:
                self._end_of_pause(now)
            case Phase.LEAVING if now >= self._wake_at:
                self._wake_at = math.inf
                self._do(Command.WITHDRAW)

    def cancel(self, now: float, *, suspended: bool = False) -> None:
        """The caller gave up. A suspended job goes on: a later call will pick it up by its id."""
        if self.ended or self.cancelled:
            return
        self.cancelled = True
        if self.phase is Phase.LEAVING:
            self.leave_by = now + self._timeouts.cancel
        else:
            self._leave(now, stays=suspended and self.plan.known)

    def close(self, now: float) -> None:
        """Our own side closes: the job is withdrawn, and its call fails."""
        if self.phase is Phase.LEAVING:
            self.leave_by = now + self._timeouts.cancel
        elif not self.ended:
            self._fail(closed_error(), now)
            self.leave_by = now + self._timeouts.cancel

    def abandon(self) -> None:
        """Stop without waiting for anything more."""
        if not self.ended:
            self.error = self.error or closed_error()
            self._end("job.abandoned", logging.WARNING)

    # Getting into the queue

    def _submit(self) -> None:
        self.phase = Phase.SUBMITTING
        self._lived_before_post, self.may_live = self.may_live, True
        self.submissions += 1
        self._posted += 1
        self._do(Command.SUBMIT)

    def _doubt(self, cause: TTSError, now: float) -> None:
        """Search for a job that the server may have taken, before anything else."""
        self._say(logging.INFO, "job.doubtful", error=type(cause).__name__)
        self._cause, self.phase = cause, Phase.SEARCHING
        self._absences, self._silent_since, self._asked_from = 0, None, now
        self._do(Command.POLL_QUEUE)

    def _search_in(self, entry: Mapping[str, Any] | None, now: float) -> None:
        if entry is not None:
            self._found(now)
            return
        self._absences, self._silent_since = self._absences + 1, None
        if self._absences < MAX_POLLS:
            self._do(Command.POLL_QUEUE)
        elif self._posted < MAX_SUBMISSIONS:
            self._pause(self._posted * self._between(*_BEFORE_SUBMISSION), now)
        else:
            self._submission_failed(self._doubted, now)

    def _search_failed(self, error: TTSError, now: float) -> None:
        if not isinstance(error, BackendUnavailable):
            self._fail(error, now)
        elif self._is_silent_too_long(now):
            self._submission_failed(self._doubted, now)
        else:
            self._do(Command.POLL_QUEUE)

    @property
    def _doubted(self) -> TTSError:
        assert self._cause is not None
        return self._cause

    def _submission_failed(self, error: TTSError, now: float) -> None:
        """Fail, unless a server that is just back may still take the lost job."""
        until = self._resubmit_until
        again = isinstance(error, BackendUnavailable) and error.retryable
        if until is not None and again and now <= until:
            self._cause = None
            self._pause(self._between(*_BEFORE_RESUBMISSION), now)
        else:
            self._fail(error, now)

    def _pause(self, seconds: float, now: float) -> None:
        self.phase, self._wake_at = Phase.PAUSING, now + seconds

    def _end_of_pause(self, now: float) -> None:
        self._wake_at = math.inf
        if self._cause is not None:
            self._submit()
        else:
            self._restore(now)

    def _restore(self, now: float) -> None:
        if self.plan.has_files:
            self.phase = Phase.RESTORING
            self._do(Command.RESTORE_FILES)
        else:
            self._forget(now)
            self._submit()

    def _found(self, now: float) -> None:
        self._say(logging.INFO, "job.found")
        self._follow(now)

    # A job of an earlier call

    def _pick_up(self, prompt_id: str, graph: Any, now: float) -> None:
        if not _same_kind(graph, self.graph):
            self._fail(other_kind_error(prompt_id), now)
            return
        self.graph = graph
        self._is_known_as(prompt_id)
        self._found(now)

    def _look_up_in(self, entry: Mapping[str, Any] | None, now: float) -> None:
        outcome = outcome_of_history(entry) if entry is not None else None
        if entry is not None and isinstance(outcome, Succeeded):
            self._pick_up(self.prompt_id, graph_of_history(entry), now)
            if self.phase is Phase.FOLLOWING:
                self._finish(outcome, now)
        else:
            self._stale = entry
            self._submit()

    # Following

    def _follow(self, now: float) -> None:
        self.phase, self._wake_at = Phase.FOLLOWING, math.inf
        self.may_live, self._cause = True, None
        self._absences, self._silent_since = 0, None
        self._submitted_at = self._last_sign = self._asked_from = now
        if self._resubmit_until is not None:
            self._resubmit_until = None
            self._say(logging.WARNING, "job.resubmitted")
        self._progress.append(Progress(Stage.QUEUED))
        if self._started_at is not None:  # by an event that overtook the answer to the POST
            self._tell_start()
        self._conclude(now)

    def _started(self, now: float) -> None:
        if self._started_at is None:
            self._started_at = self._last_sign = now
            if self.phase is Phase.FOLLOWING:
                self._tell_start()

    def _tell_start(self) -> None:
        self._say(logging.INFO, "job.started")
        self._progress.append(Progress(Stage.LOADING))

    def _conclude(self, now: float) -> None:
        """End a job whose events have said everything."""
        if self.phase is not Phase.FOLLOWING:
            return
        if self._bad_end is not None:
            self._finish(self._bad_end, now)
        elif self._succeeded and OUTPUT_ID in self._outputs:
            self._finish(Succeeded(self._outputs), now)

    def _read_queue(self, snapshot: QueueSnapshot, now: float) -> None:
        if self.prompt_id not in snapshot.graphs:
            self._do(Command.FETCH_HISTORY)
            return
        self._absences = 0
        if self.prompt_id in snapshot.running:
            self._started(now)
        elif self._started_at is None:
            position = len(snapshot.running) + snapshot.pending.index(self.prompt_id)
            self._progress.append(Progress(Stage.QUEUED, queue_position=position))

    def _read_history(self, entry: Mapping[str, Any] | None, now: float) -> None:
        self._unread = 0
        outcome = outcome_of_history(entry) if entry is not None else None
        if outcome is not None:
            self._finish(outcome, now)
        elif self._has_run and self._asks < len(_HISTORY_PAUSES) - 1:
            self._asks += 1
            self._ask_at = now + _HISTORY_PAUSES[self._asks]
        else:
            self._absent(entry, now)

    def _absent(self, entry: Mapping[str, Any] | None, now: float) -> None:
        """Judge a job that neither the queue nor history accounts for."""
        self._absences += 1
        if self._absences < MAX_POLLS:
            self._do(Command.POLL_QUEUE)
        elif OUTPUT_ID in self._outputs or entry is not None:
            self._finish(Succeeded(self._outputs), now)
        else:
            self._lost(now)

    def _history_unread(self, error: TTSError, now: float) -> None:
        self._say(logging.DEBUG, "history.unread", error=error)
        if not isinstance(error, BackendUnavailable):
            self._fail(error, now)
            return
        if self._unread == 0:
            self._unread_since = now
        self._unread += 1
        if self._unread >= MAX_POLLS and now - self._unread_since > self._timeouts.away:
            self._fail(error, now)
        else:
            self._do(Command.POLL_QUEUE)

    def _lost(self, now: float) -> None:
        """Give the job to the server once more, if the server forgot it."""
        self._say(logging.WARNING, "job.lost")
        if self._has_run and self._unbroken:
            self._fail(lost_error("it ran, and left nothing in history"), now)
        elif self._unbroken:
            self._fail(removed_error(), now)
        elif self._warnings:
            self._fail(lost_error("it was lost twice, though it was submitted again"), now)
        else:
            self._warnings = (_GIVEN_AGAIN,)
            self._resubmit_until = now + self._timeouts.away
            self._restore(now)

    def _is_silent_too_long(self, now: float) -> bool:
        if self._silent_since is None:
            self._silent_since = now
        return now - self._silent_since > self._timeouts.away

    def _soonest_limit(self) -> tuple[float, str, float]:
        """Return (when, which setting, how many seconds) of the limit that is reached first."""
        timeouts, limit = self._timeouts, self.plan.limit
        seconds = timeouts.training if limit == "training" else timeouts.job
        whole = (self._submitted_at + seconds, limit, seconds)
        if self._started_at is None:
            return min(whole, (self._submitted_at + timeouts.queue, "queue", timeouts.queue))
        return min(whole, (self._last_sign + timeouts.idle, "idle", timeouts.idle))

    def _check_limits(self, now: float) -> None:
        when, setting, seconds = self._soonest_limit()
        if now >= when:
            self._fail(timed_out_error(setting, seconds), now)

    # The end

    def _finish(self, outcome: Outcome, now: float) -> None:
        started = self._submitted_at if self._started_at is None else self._started_at
        self.done = JobDone(
            outcome,
            self.prompt_id,
            self.graph,
            queued=max(0.0, started - self._submitted_at),  # it may have started before the answer
            running=now - started,
            warnings=self._warnings,
        )
        self.phase = Phase.ENDED
        self._commands.clear()
        match outcome:
            case Succeeded():
                queued, running = self.done.queued, self.done.running
                self._say(logging.INFO, "job.finished", queued=queued, running=running)
            case Interrupted():
                self._say(logging.WARNING, "job.failed", error="interrupted")
            case Failed():
                where, what = outcome.node_type or None, outcome.exception_type or None
                self._say(logging.WARNING, "job.failed", node=where, error=what)
                self._say(logging.DEBUG, "job.failed", message=outcome.message)

    def _fail(self, error: TTSError, now: float) -> None:
        # Asked again, a job that the server may have might run twice.
        error.retryable = error.retryable and not self.may_live
        self.error = error
        self._say(logging.WARNING, "job.failed", error=type(error).__name__)
        self._say(logging.DEBUG, "job.failed", message=error.message)
        self._leave(now)

    def _leave(self, now: float, *, stays: bool = False) -> None:
        self._progress.clear()
        if Command.SUBMIT in self._commands:  # never sent
            self.may_live = self._lived_before_post
        self._in_flight.difference_update(self._commands)
        self._commands.clear()
        if stays or not self._is_worth_withdrawing:
            self.phase = Phase.ENDED
            return
        # A server that is away is told in the background; a caller who cancels waits a little.
        is_away = self._silent_since is not None and not self.cancelled
        self.leave_by = now if is_away else now + self._timeouts.cancel
        self.phase, self._wake_at = Phase.LEAVING, math.inf
        if Command.SUBMIT not in self._in_flight:
            self._withdraw(now)

    def _withdraw(self, now: float) -> None:
        if not self._is_worth_withdrawing:
            self.phase = Phase.ENDED
            return
        self._withdrawals_left = 2 if self.certain else MAX_POLLS
        self._withdraw_until = now + self._timeouts.cancel
        self._do(Command.WITHDRAW)

    @property
    def _is_worth_withdrawing(self) -> bool:
        """Whether this call, or the earlier one that it repeats, may have left a job there."""
        return self.may_live or (self.cancelled and self.plan.known)

    def _end(self, event: str, level: int) -> None:
        self.phase = Phase.ENDED
        self._commands.clear()
        self._say(level, event)

    # Small things

    def _do(self, command: Command) -> None:
        if command not in self._in_flight:
            self._in_flight.add(command)
            self._commands.append(command)

    def _poll_if_needed(self) -> None:
        waits_for_history = Command.FETCH_HISTORY in self._in_flight
        if self.phase in (Phase.LOOKING_UP, Phase.SEARCHING) and not waits_for_history:
            self._do(Command.POLL_QUEUE)

    def _is_known_as(self, prompt_id: str) -> None:
        self.prompt_id, self.certain, self.may_live = prompt_id, True, True

    def listed(self, snapshot: QueueSnapshot) -> str | None:
        """Return the id under which the queue lists our job; old servers choose one of their own.

        The output node tells: it carries a file name, or a node id, that only this job has.
        """
        if self.prompt_id in snapshot.graphs:
            return self.prompt_id
        return snapshot.find(OUTPUT_ID, self.graph[OUTPUT_ID])

    def _say(self, level: int, event: str, **fields: object) -> None:
        log_event(_log, level, event, job=self.prompt_id, backend=BACKEND, **fields)


def _same_kind(found: object, ours: Graph) -> bool:
    """Tell whether a graph has our nodes, so that it can be read like ours."""
    return isinstance(found, dict) and all(
        isinstance(found.get(node_id), dict)
        and found[node_id].get("class_type") == node["class_type"]
        and isinstance(found[node_id].get("inputs"), dict)
        for node_id, node in ours.items()
    )
