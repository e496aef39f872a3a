"""State machine, without I/O, for one job on a ComfyUI server.

Its inputs are events, responses, failures, the time and cancellation. Its outputs are commands, to
each of which one of its methods is the reply, and progress reports. It never waits and has no
clock, so that every rule can be unit-tested. ``runner`` drives it.

The rules:

* The client chooses the prompt id. If it is uncertain whether a submission succeeded, the job is
  searched for in the queue and in history. Only if a reachable server lists it in neither is the
  same graph submitted again, with the same id. Even then nothing is generated twice, since ComfyUI
  caches its latest results.
* ``execution_success`` and the output of the last node are the result. If one of them is missing,
  history decides; it is fetched when an event or a queue snapshot shows that the job has ended.
* A job that was lost in a restart of the server is submitted once more. A job that was removed
  while the server was running is not.
* Before the call returns, the job is withdrawn from the server: see ``leaving``. Nothing is
  submitted after a cancellation.
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
from storycore_tts.errors import BackendUnavailable, TTSError

MAX_SUBMISSIONS = 3  # of a job that the server does not seem to accept

_BEFORE_SUBMISSION = (0.1, 0.4)  # s before the second submission, twice that before the third
_BEFORE_RESUBMISSION = (0.3, 0.7)  # s between submissions of a lost job to a restarted server


class JobMachine(FollowedJob):
    """Follows one job. All times are seconds of one monotonic clock.

    Args:
        plan: Description of the job.
        connected: Whether the event stream is connected.
        between: Returns a random pause between two bounds; replaced in tests.
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
        self._cause: TTSError | None = None  # why the submission is uncertain
        self._resubmit_until = -math.inf  # deadline for resubmitting a lost job

    # Inputs

    def start(self, now: float) -> None:
        """Start, after the event stream was connected or has failed to connect."""
        if self.phase is not Phase.CONNECTING:
            return
        self._run = Run(now, unbroken=self._connected)
        if self.plan.known:
            self.phase = Phase.LOOKING_UP
            self._do(Command.POLL_QUEUE)
        else:
            self._submit()

    def submitted(self, prompt_id: str, node_errors: Mapping[str, Any], now: float) -> None:
        """The server accepted the job under this id."""
        self._set_prompt_id(prompt_id)
        if not self._is_wanted_after_post(now):
            return
        if node_errors:  # the server runs the valid part of the graph
            self._fail(failures.node_errors_error(node_errors), now)
        else:
            self._log_event(logging.INFO, "job.submitted")
            self._follow(now)

    def submission_refused(self, error: TTSError, now: float) -> None:
        """The job is certainly not in the queue: it was rejected or never sent."""
        self.may_live = self._lived_before_post or self.alive
        if not self._is_wanted_after_post(now):
            return
        if self._run.posts > 1 and isinstance(error, BackendUnavailable):
            self._doubt(error, now)
        else:
            self._submission_failed(error, now)

    def submission_uncertain(self, cause: TTSError, now: float) -> None:
        """The connection failed when the server may already have accepted the job."""
        if not self._is_wanted_after_post(now):
            return
        if self.alive:
            self._found(now)
        else:
            self._doubt(cause, now)

    def queue_answered(self, snapshot: QueueSnapshot, asked_at: float, now: float) -> None:
        """Process a queue snapshot; ignored if it was requested before the submission."""
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
        """The request for the queue failed."""
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
        """Process the history entry of the job; None if there is none."""
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
        """The request for the history entry failed."""
        self._in_flight.discard(Command.FETCH_HISTORY)
        match self.phase:
            case Phase.LOOKING_UP:
                self._fail(error, now)
            case Phase.SEARCHING:
                self._search_failed(error, now)
            case Phase.FOLLOWING:
                self._history_unread(error, now)

    def files_restored(self, _: None, now: float) -> None:
        """The files of the graph were uploaded again."""
        self._in_flight.discard(Command.RESTORE_FILES)
        if self.phase is Phase.RESTORING:
            self._submit_anew(now)

    def restoring_failed(self, error: TTSError, now: float) -> None:
        """The files of the graph could not be uploaded again."""
        self._in_flight.discard(Command.RESTORE_FILES)
        if self.phase is Phase.RESTORING:
            self._submission_failed(error, now)

    def tick(self, now: float) -> None:
        """Handle expired timers; must be called at ``deadline``, and may be called at any time."""
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

    # Submission

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
        """Search for a job that the server may have accepted."""
        self._log_event(logging.INFO, "job.doubtful", error=type(cause).__name__)
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
        """Fail, unless a restarted server may still accept the lost job."""
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
        self._set_prompt_id(prompt_id)
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
            self._log_event(logging.WARNING, "job.resubmitted")
        super()._follow(now)

    def _lost(self, now: float) -> None:
        """Submit the job once more if the server lost it."""
        self._log_event(logging.WARNING, "job.lost")
        if self._run.ended and self._run.unbroken:
            self._fail(failures.lost_error("it ended without an entry in history"), now)
        elif self._run.unbroken:
            self._fail(failures.stopped_error(ran=False), now)
        elif self._warnings:
            again = "it was submitted again and lost again"
            self._fail(failures.lost_error(again), now)
        else:
            self._warnings = (GIVEN_AGAIN,)
            self._resubmit_until = now + self._timeouts.away
            self._restore(now)

    def _poll_if_needed(self) -> None:
        waits_for_history = Command.FETCH_HISTORY in self._in_flight
        if self.phase in (Phase.LOOKING_UP, Phase.SEARCHING) and not waits_for_history:
            self._do(Command.POLL_QUEUE)
