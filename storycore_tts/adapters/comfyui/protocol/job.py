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
* However we leave, the job is taken off the server first: see ``leaving``. Nothing is submitted
  after a cancellation.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from storycore_tts.adapters.comfyui.protocol import failures
from storycore_tts.adapters.comfyui.protocol.following import FollowedJob
from storycore_tts.adapters.comfyui.protocol.messages import (
    QueueSnapshot,
    Succeeded,
    graph_of_history,
    outcome_of_history,
)
from storycore_tts.adapters.comfyui.protocol.plan import GIVEN_AGAIN, Command, JobPlan, Phase
from storycore_tts.adapters.comfyui.protocol.run import Run, Silence
from storycore_tts.domain.errors import BackendUnavailable, TTSError

MAX_SUBMISSIONS = 3  # of one job that the server does not seem to take

_BEFORE_SUBMISSION = (0.1, 0.4)  # s before the second submission, twice that before the third
_BEFORE_RESUBMISSION = (0.3, 0.7)  # s between attempts to give a job to a server that is just back


class JobMachine(FollowedJob):
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
        super().__init__(plan, connected=connected)
        self._between = between
        self._stale: Mapping[str, Any] | None = None  # history of an earlier run of the same id
        self._cause: TTSError | None = None  # of the doubt about the submission
        self._resubmit_until = -math.inf  # while a lost job is given again

    # What happens

    def start(self, now: float) -> None:
        """Begin: the event stream is connected, or cannot be."""
        if self.phase is not Phase.CONNECTING:
            return
        self._run = Run(now, unbroken=self._connected)
        if self.plan.known:
            self.phase = Phase.LOOKING_UP
            self._do(Command.POLL_QUEUE)
        else:
            self._submit()

    def submitted(self, prompt_id: str, node_errors: Mapping[str, Any], now: float) -> None:
        """The server took the job, and calls it by this id."""
        self._is_known_as(prompt_id)
        if not self._is_wanted_after_post(now):
            return
        if node_errors:  # the server runs what is left of the graph
            self._fail(failures.node_errors_error(node_errors), now)
        else:
            self._say(logging.INFO, "job.submitted")
            self._follow(now)

    def submission_refused(self, error: TTSError, now: float) -> None:
        """The job is certainly not in the queue: refused, or never sent."""
        self.may_live = self._lived_before_post or self.alive
        if not self._is_wanted_after_post(now):
            return
        if self._run.posts > 1 and isinstance(error, BackendUnavailable):
            self._doubt(error, now)
        else:
            self._submission_failed(error, now)

    def submission_uncertain(self, cause: TTSError, now: float) -> None:
        """The connection failed after the server may have taken the job."""
        if not self._is_wanted_after_post(now):
            return
        if self.alive:
            self._found(now)
        else:
            self._doubt(cause, now)

    def queue_answered(self, snapshot: QueueSnapshot, asked_at: float, now: float) -> None:
        """Take a queue snapshot; what was asked before the submission says nothing of it."""
        self._in_flight.discard(Command.POLL_QUEUE)
        if asked_at < self._run.asked_from or Command.FETCH_HISTORY in self._in_flight:
            self._poll_if_needed()
        elif self.phase is Phase.FOLLOWING:
            self._run.silence = Silence()
            self._read_queue(snapshot, now)
        elif self.phase in (Phase.LOOKING_UP, Phase.SEARCHING):
            known = self.listed(snapshot)
            if known is None:
                self._do(Command.FETCH_HISTORY)
            else:
                self._pick_up(known, snapshot.graphs[known], now)

    def queue_failed(self, error: TTSError, asked_at: float, now: float) -> None:
        """The server did not answer when it was asked for its queue."""
        self._in_flight.discard(Command.POLL_QUEUE)
        self._run.unbroken = False
        if asked_at < self._run.asked_from:
            self._poll_if_needed()
        elif self.phase is Phase.LOOKING_UP:
            self._fail(error, now)
        elif self.phase is Phase.SEARCHING:
            self._search_failed(error, now)
        elif self.phase is Phase.FOLLOWING and self._is_silent_too_long(now):
            self._fail(failures.went_away_error(self._timeouts.away, error), now)

    def history_answered(self, entry: Mapping[str, Any] | None, now: float) -> None:
        """Take the job's entry in history; None where there is none."""
        self._in_flight.discard(Command.FETCH_HISTORY)
        if entry == self._stale:
            entry = None
        match self.phase:
            case Phase.LOOKING_UP:
                self._look_up_in(entry, now)
            case Phase.SEARCHING:
                self._search_in(entry, now)
            case Phase.FOLLOWING:
                if self._is_lost_by(entry, now):
                    self._lost(now)

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
            self._submit_anew(now)

    def restoring_failed(self, error: TTSError, now: float) -> None:
        """The graph's files could not be uploaded again."""
        self._in_flight.discard(Command.RESTORE_FILES)
        if self.phase is Phase.RESTORING:
            self._submission_failed(error, now)

    def tick(self, now: float) -> None:
        """Do what is due; to be called at ``deadline`` and as often as one likes."""
        match self.phase:
            case Phase.FOLLOWING:
                self._tick(now)
            case Phase.PAUSING | Phase.LEAVING if now >= self._wake_at:
                self._wake_at = math.inf
                if self.phase is Phase.LEAVING:
                    self._do(Command.WITHDRAW)
                elif self._cause is not None:
                    self._submit()
                else:
                    self._restore(now)

    # Getting into the queue

    def _submit(self) -> None:
        self.phase = Phase.SUBMITTING
        self._lived_before_post, self.may_live = self.may_live, True
        self.submissions += 1
        self._run.posts += 1
        self._do(Command.SUBMIT)

    def _submit_anew(self, now: float) -> None:
        self._run = Run(now, unbroken=self._connected)
        self._submit()

    def _doubt(self, cause: TTSError, now: float) -> None:
        """Search for a job that the server may have taken, before anything else."""
        self._say(logging.INFO, "job.doubtful", error=type(cause).__name__)
        self._cause, self.phase = cause, Phase.SEARCHING
        self._run.look_anew(now)
        self._do(Command.POLL_QUEUE)

    def _search_in(self, entry: Mapping[str, Any] | None, now: float) -> None:
        self._run.silence = Silence()
        if entry is not None:
            self._found(now)
        elif self._looks_again():
            pass
        elif self._run.posts < MAX_SUBMISSIONS:
            self._pause(self._run.posts * self._between(*_BEFORE_SUBMISSION), now)
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
        again = isinstance(error, BackendUnavailable) and error.retryable
        if again and now <= self._resubmit_until:
            self._cause = None
            self._pause(self._between(*_BEFORE_RESUBMISSION), now)
        else:
            self._fail(error, now)

    def _pause(self, seconds: float, now: float) -> None:
        self.phase, self._wake_at = Phase.PAUSING, now + seconds

    def _restore(self, now: float) -> None:
        if self.plan.has_files:
            self.phase = Phase.RESTORING
            self._do(Command.RESTORE_FILES)
        else:
            self._submit_anew(now)

    # A job of an earlier call

    def _pick_up(self, prompt_id: str, graph: Any, now: float) -> None:
        if not self.plan.runs_as(graph):
            self._fail(failures.other_kind_error(prompt_id), now)
            return
        self.graph = graph
        self._is_known_as(prompt_id)
        self._found(now)

    def _look_up_in(self, entry: Mapping[str, Any] | None, now: float) -> None:
        outcome = outcome_of_history(entry or {})
        if entry is not None and isinstance(outcome, Succeeded):
            self._pick_up(self.prompt_id, graph_of_history(entry), now)
            if self.phase is Phase.FOLLOWING:
                self._finish(outcome, now)
        else:
            self._stale = entry
            self._submit()

    def _follow(self, now: float) -> None:
        self._cause = None
        if self._resubmit_until > -math.inf:
            self._resubmit_until = -math.inf
            self._say(logging.WARNING, "job.resubmitted")
        super()._follow(now)

    def _lost(self, now: float) -> None:
        """Give the job to the server once more, if the server forgot it."""
        self._say(logging.WARNING, "job.lost")
        if self._run.ended and self._run.unbroken:
            self._fail(failures.lost_error("it ran, and left nothing in history"), now)
        elif self._run.unbroken:
            self._fail(failures.stopped_error(ran=False), now)
        elif self._warnings:
            again = "it was lost twice, though it was submitted again"
            self._fail(failures.lost_error(again), now)
        else:
            self._warnings = (GIVEN_AGAIN,)
            self._resubmit_until = now + self._timeouts.away
            self._restore(now)

    def _poll_if_needed(self) -> None:
        waits_for_history = Command.FETCH_HISTORY in self._in_flight
        if self.phase in (Phase.LOOKING_UP, Phase.SEARCHING) and not waits_for_history:
            self._do(Command.POLL_QUEUE)
