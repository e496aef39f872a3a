"""Base of the state machine: state of a job, and its withdrawal from the server.

Jobs are deleted or interrupted by id, never by a global interrupt. ComfyUI loses an interrupt that
arrives after it has taken a job from its queue but before the job's first event. A running job that
has sent no event yet is therefore interrupted twice.
"""

from __future__ import annotations

import logging
import math
from collections import deque

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.failures import closed_error
from storycore_tts.adapters.comfyui.protocol.graphs import OUTPUT_ID
from storycore_tts.adapters.comfyui.protocol.messages import QueueSnapshot
from storycore_tts.adapters.comfyui.protocol.plan import Command, JobDone, JobPlan, Phase, Withdrawn
from storycore_tts.adapters.comfyui.protocol.run import MAX_POLLS, Run
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import Progress
from storycore_tts.errors import BackendUnavailable, TTSError

_log = logging.getLogger(__name__)

MAX_PROGRESS = 256  # buffered progress reports; the oldest are dropped
_BETWEEN_WITHDRAWALS = 0.3  # s


class ServerJob:
    """State, pending commands and withdrawal of a job on a server.

    Args:
        plan: Description of the job.
        connected: Whether the event stream is connected.
    """

    def __init__(self, plan: JobPlan, *, connected: bool) -> None:
        self.plan = plan
        self.phase = Phase.CONNECTING
        self.prompt_id = plan.prompt_id
        self.graph = plan.graph
        self.submissions = 0  # POSTs started
        self.certain = False  # the server confirmed the job
        self.may_live = False  # the server may have the job
        self.cancelled = False
        self.done: JobDone | None = None
        self.error: TTSError | None = None
        self.leave_by = math.inf  # when the caller may stop waiting for the withdrawal
        self._timeouts = plan.timeouts
        self._commands: list[Command] = []
        self._in_flight: set[Command] = set()
        self._progress: deque[Progress] = deque(maxlen=MAX_PROGRESS)
        self._run = Run(0.0, unbroken=connected)
        self._wake_at = math.inf  # end of a pause
        self._lived_before_post = False
        self._withdraw_until = math.inf
        self._withdrawals_left = 0

    @property
    def ended(self) -> bool:
        """Whether nothing remains to be done."""
        return self.phase is Phase.ENDED

    @property
    def alive(self) -> bool:
        """Whether an event proved that the server has the job."""
        return self._run.alive

    def take_commands(self) -> list[Command]:
        """Return and clear the pending commands."""
        commands, self._commands = self._commands, []
        return commands

    def take_progress(self) -> list[Progress]:
        """Return and clear the pending progress reports."""
        news = list(self._progress)
        self._progress.clear()
        return news

    def listed(self, snapshot: QueueSnapshot) -> str | None:
        """Return the id under which the queue lists this job; old servers assign their own ids.

        The job is recognized by its output node, whose file name or node id is unique.
        """
        if self.prompt_id in snapshot.graphs:
            return self.prompt_id
        return snapshot.find(OUTPUT_ID, self.graph[OUTPUT_ID])

    def cancel(self, now: float, *, suspended: bool = False) -> None:
        """Cancel the call. A suspended job keeps running; a later call will find it by its id."""
        if self.ended or self.cancelled:
            return
        self.cancelled = True
        if self.phase is Phase.LEAVING:
            self.leave_by = now + self._timeouts.cancel
        else:
            self._leave(now, stays=suspended and self.plan.known)

    def close(self, now: float) -> None:
        """Fail the call and withdraw the job, since the session is being closed."""
        if self.ended:
            return
        if self.phase is not Phase.LEAVING:
            self._fail(closed_error(), now)
        self.leave_by = now + self._timeouts.cancel

    def abandon(self) -> None:
        """Stop immediately."""
        if not self.ended:
            self.error = self.error or closed_error()
            self._end("job.abandoned", logging.WARNING)

    def withdrawn(self, result: Withdrawn, now: float) -> None:
        """The server was asked to delete or interrupt the job."""
        self._in_flight.discard(Command.WITHDRAW)
        if self.phase is not Phase.LEAVING:
            return
        if result.listed_as is not None:
            self._set_prompt_id(result.listed_as)
        self._withdrawals_left -= 1
        # A job that was never listed may still be entering the queue, and one that has sent no
        # event may have started after the interrupt.
        is_gone = self.certain and (self.alive or not result.runs)
        if is_gone or self._withdrawals_left <= 0:
            self._end("job.withdrawn", logging.INFO)
        else:
            self._wake_at = now + _BETWEEN_WITHDRAWALS

    def withdrawal_failed(self, error: TTSError, now: float) -> None:
        """The request to delete or interrupt the job failed."""
        self._in_flight.discard(Command.WITHDRAW)
        if self.phase is not Phase.LEAVING:
            return
        self._log_event(logging.DEBUG, "job.stays", error=error)
        if now >= self._withdraw_until:
            self._end("job.abandoned", logging.WARNING)
        else:
            self._wake_at = now + _BETWEEN_WITHDRAWALS

    def _fail(self, error: TTSError, now: float) -> None:
        # If the server may have the job, a retry might run it twice.
        error.retryable = error.retryable and not self.may_live
        if isinstance(error, BackendUnavailable) and not error.retryable:
            error.retry_after = None
        self.error = error
        self._log_event(logging.WARNING, "job.failed", error=type(error).__name__)
        self._log_event(logging.DEBUG, "job.failed", message=error.message)
        self._leave(now)

    def _leave(self, now: float, *, stays: bool = False) -> None:
        self._progress.clear()
        if Command.SUBMIT in self._commands:  # never sent
            self.may_live = self._lived_before_post
        self._in_flight.difference_update(self._commands)
        self._commands.clear()
        if stays:
            self.phase = Phase.ENDED
            return
        # From an unreachable server, jobs are withdrawn in the background, unless cancelled.
        is_away = self._run.silence.failures > 0 and not self.cancelled
        self.leave_by = now if is_away else now + self._timeouts.cancel
        self.phase, self._wake_at = Phase.LEAVING, math.inf
        if Command.SUBMIT not in self._in_flight:
            self._withdraw(now)

    def _withdraw(self, now: float) -> None:
        # An earlier call with the same job id may have left a job on the server, too.
        if self.may_live or (self.cancelled and self.plan.known):
            self._withdrawals_left = 2 if self.certain else MAX_POLLS
            self._withdraw_until = now + self._timeouts.cancel
            self._do(Command.WITHDRAW)
        else:
            self.phase = Phase.ENDED

    def _is_wanted_after_post(self, now: float) -> bool:
        """Record the end of the POST; withdraw the job if it was cancelled meanwhile."""
        self._in_flight.discard(Command.SUBMIT)
        if self.phase is Phase.LEAVING:
            self._withdraw(now)
        return self.phase is Phase.SUBMITTING

    def _end(self, event: str, level: int) -> None:
        self.phase = Phase.ENDED
        self._commands.clear()
        self._log_event(level, event)

    def _do(self, command: Command) -> None:
        if command not in self._in_flight:
            self._in_flight.add(command)
            self._commands.append(command)

    def _set_prompt_id(self, prompt_id: str) -> None:
        self.prompt_id, self.certain, self.may_live = prompt_id, True, True

    def _log_event(self, level: int, event: str, **fields: object) -> None:
        log_event(_log, level, event, job=self.prompt_id, backend=BACKEND, **fields)
