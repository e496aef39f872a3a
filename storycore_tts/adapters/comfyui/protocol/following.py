"""Follows a job on a ComfyUI server by events, queue and history until it has ended."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from storycore_tts.adapters.comfyui.protocol.failures import timed_out_error
from storycore_tts.adapters.comfyui.protocol.graphs import OUTPUT_ID
from storycore_tts.adapters.comfyui.protocol.leaving import ServerJob
from storycore_tts.adapters.comfyui.protocol.messages import (
    Failed,
    Interrupted,
    Outcome,
    QueueSnapshot,
    Succeeded,
    outcome_of_history,
)
from storycore_tts.adapters.comfyui.protocol.plan import Command, JobDone, JobPlan, Phase
from storycore_tts.adapters.comfyui.protocol.run import MAX_POLLS, Silence
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.errors import BackendUnavailable, TTSError

_MAY_RUN = (Phase.SUBMITTING, Phase.SEARCHING, Phase.PAUSING, Phase.FOLLOWING)


class FollowedJob(ServerJob):
    """Interprets what the server reports about a job."""

    def __init__(self, plan: JobPlan, *, connected: bool) -> None:
        super().__init__(plan, connected=connected)
        self._connected = connected
        self._warnings: tuple[str, ...] = ()

    @property
    def deadline(self) -> float:
        """The latest time at which ``tick`` must be called."""
        if self.phase is Phase.FOLLOWING:
            return min(self._run.ask_at, self._run.soonest_limit(self.plan)[0])
        return self._wake_at

    def stream_changed(self, *, connected: bool) -> None:
        """Record that the event stream was connected or disconnected."""
        self._connected = connected
        self._run.unbroken = self._run.unbroken and connected

    def event(self, kind: str, data: Mapping[str, Any], now: float) -> None:
        """Process an event of this job; ``kind`` and ``data`` are the type and data of the frame.

        An event also proves that the server has the job, even if the response to the POST was lost.
        """
        if self.phase not in _MAY_RUN:
            return
        self.certain = self.certain or data.get("prompt_id") == self.prompt_id
        self._run.take(kind, data, self.graph, connected=self._connected, now=now)
        try:
            progress = self.plan.read_event(kind, data)
        except TTSError as error:
            self._fail(error, now)
            return
        if progress is not None:
            self._run.start(now)
        self._report_start()
        if progress is not None:
            self._progress.append(progress)
        if self.phase in (Phase.SEARCHING, Phase.PAUSING):
            self._found(now)
        else:
            self._conclude(now)

    def _found(self, now: float) -> None:
        self._log_event(logging.INFO, "job.found")
        self._follow(now)

    def _follow(self, now: float) -> None:
        self.phase, self._wake_at, self.may_live = Phase.FOLLOWING, math.inf, True
        self._run.submitted(now)
        self._progress.append(Progress(Stage.QUEUED))
        self._report_start()  # events may arrive before the response to the POST
        self._conclude(now)

    def _report_start(self) -> None:
        run = self._run
        if self.phase is Phase.FOLLOWING and run.started_at is not None and not run.start_reported:
            run.start_reported = True
            self._log_event(logging.INFO, "job.started")
            self._progress.append(self.plan.begins())

    def _conclude(self, now: float) -> None:
        """End the job if its events are conclusive."""
        outcome = self._run.outcome()
        if self.phase is Phase.FOLLOWING and outcome is not None:
            self._finish(outcome, now)

    def _read_queue(self, snapshot: QueueSnapshot, now: float) -> None:
        if self.prompt_id not in snapshot.graphs:
            self._do(Command.FETCH_HISTORY)
            return
        self._run.absences = 0
        if self.prompt_id in snapshot.running:
            self._run.start(now)
            self._report_start()
        elif self._run.started_at is None:
            position = len(snapshot.running) + snapshot.pending.index(self.prompt_id)
            self._progress.append(Progress(Stage.QUEUED, queue_position=position))

    def _is_lost_by(self, entry: Mapping[str, Any] | None, now: float) -> bool:
        """Process a history entry; return whether the job is definitively lost."""
        run, outcome = self._run, outcome_of_history(entry or {})
        run.unread = Silence()
        if outcome is not None:
            self._finish(outcome, now)
        elif run.ask_again(now) or self._looks_again():
            return False
        elif OUTPUT_ID in run.outputs or entry is not None:
            self._finish(Succeeded(run.outputs), now)
        return not self.ended

    def _looks_again(self) -> bool:
        """Count a poll of queue and history without the job; poll again up to the maximum."""
        self._run.absences += 1
        if self._run.absences >= MAX_POLLS:
            return False
        self._do(Command.POLL_QUEUE)
        return True

    def _history_unread(self, error: TTSError, now: float) -> None:
        self._log_event(logging.DEBUG, "history.unread", error=error)
        unread = self._run.unread
        too_long = unread.lasts(now) > self._timeouts.away and unread.failures >= MAX_POLLS
        if too_long or not isinstance(error, BackendUnavailable):
            self._fail(error, now)
        else:
            self._do(Command.POLL_QUEUE)

    def _is_silent_too_long(self, now: float) -> bool:
        return self._run.silence.lasts(now) > self._timeouts.away

    def _tick(self, now: float) -> None:
        if now >= self._run.ask_at:
            self._run.ask_at = math.inf
            self._do(Command.FETCH_HISTORY)
        when, setting, seconds = self._run.soonest_limit(self.plan)
        if now >= when:
            self._fail(timed_out_error(setting, seconds), now)

    def _finish(self, outcome: Outcome, now: float) -> None:
        queued, running = self._run.times(now)
        self.done = JobDone(
            outcome, self.prompt_id, self.graph, queued, running, warnings=self._warnings
        )
        self.phase = Phase.ENDED
        self._commands.clear()
        match outcome:
            case Succeeded():
                self._log_event(logging.INFO, "job.finished", queued=queued, running=running)
            case Interrupted():
                self._log_event(logging.WARNING, "job.failed", error="interrupted")
            case Failed():
                where, what = outcome.node_type or None, outcome.exception_type or None
                self._log_event(logging.WARNING, "job.failed", node=where, error=what)
                self._log_event(logging.DEBUG, "job.failed", message=outcome.message)
