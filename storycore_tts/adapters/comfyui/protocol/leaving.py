"""A job on a ComfyUI server, and how it is taken off the server however its client leaves it.

It is deleted or interrupted by its id, never by a global interrupt. ComfyUI forgets an interruption
that comes between taking a job out of its queue and the job's first event; a job that runs and was
not heard of yet is therefore interrupted twice.
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
from storycore_tts.domain.errors import TTSError
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import Progress

_log = logging.getLogger(__name__)

MAX_PROGRESS = 256  # reports that wait for the runner; the oldest are dropped
_BETWEEN_WITHDRAWALS = 0.3  # s


class ServerJob:
    """What is known of a job on a server, what is asked about it, and how it is left.

    Args:
        plan: What the job is.
        connected: Whether the event stream is connected.
    """

    def __init__(self, plan: JobPlan, *, connected: bool) -> None:
        self.plan = plan
        self.phase = Phase.CONNECTING
        self.prompt_id = plan.prompt_id
        self.graph = plan.graph
        self.submissions = 0  # POSTs that were begun
        self.certain = False  # the server named the job
        self.may_live = False  # the server may have the job
        self.cancelled = False
        self.done: JobDone | None = None
        self.error: TTSError | None = None
        self.leave_by = math.inf  # when the caller need not wait any longer for the withdrawal
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
        """Whether nothing is left to do."""
        return self.phase is Phase.ENDED

    @property
    def alive(self) -> bool:
        """Whether an event proved that the server has the job."""
        return self._run.alive

    def take_commands(self) -> list[Command]:
        """Return what is to be done, once."""
        commands, self._commands = self._commands, []
        return commands

    def take_progress(self) -> list[Progress]:
        """Return what is to be reported, once."""
        news = list(self._progress)
        self._progress.clear()
        return news

    def listed(self, snapshot: QueueSnapshot) -> str | None:
        """Return the id under which the queue lists our job; old servers choose one of their own.

        The output node tells: it carries a file name, or a node id, that only this job has.
        """
        if self.prompt_id in snapshot.graphs:
            return self.prompt_id
        return snapshot.find(OUTPUT_ID, self.graph[OUTPUT_ID])

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
        if self.ended:
            return
        if self.phase is not Phase.LEAVING:
            self._fail(closed_error(), now)
        self.leave_by = now + self._timeouts.cancel

    def abandon(self) -> None:
        """Stop without waiting for anything more."""
        if not self.ended:
            self.error = self.error or closed_error()
            self._end("job.abandoned", logging.WARNING)

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
        if stays:
            self.phase = Phase.ENDED
            return
        # A server that is away is told in the background; a caller who cancels waits a little.
        is_away = self._run.silence.failures > 0 and not self.cancelled
        self.leave_by = now if is_away else now + self._timeouts.cancel
        self.phase, self._wake_at = Phase.LEAVING, math.inf
        if Command.SUBMIT not in self._in_flight:
            self._withdraw(now)

    def _withdraw(self, now: float) -> None:
        # An earlier call, which this one repeats, may have left a job there too.
        if self.may_live or (self.cancelled and self.plan.known):
            self._withdrawals_left = 2 if self.certain else MAX_POLLS
            self._withdraw_until = now + self._timeouts.cancel
            self._do(Command.WITHDRAW)
        else:
            self.phase = Phase.ENDED

    def _is_wanted_after_post(self, now: float) -> bool:
        """Note that the POST is over; withdraw a job that was given up meanwhile."""
        self._in_flight.discard(Command.SUBMIT)
        if self.phase is Phase.LEAVING:
            self._withdraw(now)
        return self.phase is Phase.SUBMITTING

    def _end(self, event: str, level: int) -> None:
        self.phase = Phase.ENDED
        self._commands.clear()
        self._say(level, event)

    def _do(self, command: Command) -> None:
        if command not in self._in_flight:
            self._in_flight.add(command)
            self._commands.append(command)

    def _is_known_as(self, prompt_id: str) -> None:
        self.prompt_id, self.certain, self.may_live = prompt_id, True, True

    def _say(self, level: int, event: str, **fields: object) -> None:
        log_event(_log, level, event, job=self.prompt_id, backend=BACKEND, **fields)
