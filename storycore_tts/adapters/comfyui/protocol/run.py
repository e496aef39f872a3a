"""State of one run of a job; a lost job gets a second run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storycore_tts.adapters.comfyui.protocol.graphs import OUTPUT_ID
from storycore_tts.adapters.comfyui.protocol.messages import (
    Graph,
    Outcome,
    Succeeded,
    has_run,
    history_is_written,
    outcome_of_event,
)
from storycore_tts.adapters.comfyui.protocol.plan import JobPlan

# s; history is written after the event for the end of the job.
_HISTORY_PAUSES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
MAX_POLLS = 3  # consecutive polls of queue and history before a job counts as unknown

_SUCCESS_TO_HISTORY = 0.1  # s to wait for the event that history was written


@dataclass
class Silence:
    """Consecutive failed requests.

    Args:
        since: Time of the first failure; None if there is none.
        failures: Number of failures.
    """

    since: float | None = None
    failures: int = 0

    def lasts(self, now: float) -> float:
        """Count a failure, and return the seconds since the first one."""
        self.since = now if self.since is None else self.since
        self.failures += 1
        return now - self.since


class Run:
    """What events, queue and history have shown about a job.

    Args:
        now: Start time of the run.
        unbroken: Whether the event stream is connected.
    """

    def __init__(self, now: float, *, unbroken: bool) -> None:
        self.unbroken = unbroken  # the server was reachable all the time
        self.posts = 0
        self.alive = False  # an event has proved that the server has the job
        self.ended = False  # it has succeeded or failed
        self.outputs: dict[str, Any] = {}
        self.started_at: float | None = None
        self.start_reported = False
        self.unread = Silence()  # of history
        self.ask_at = math.inf  # when to fetch history, independently of queue snapshots
        self._asks = 0
        self._succeeded = False
        self._bad_end: Outcome | None = None
        self.look_anew(now)
        self.submitted(now)

    def look_anew(self, now: float) -> None:
        """Reset the counters of failed and unsuccessful polls."""
        self.absences = 0  # consecutive polls of both without the job
        self.silence = Silence()  # failed polls
        self.asked_from = now  # responses to earlier requests are ignored

    def submitted(self, now: float) -> None:
        """Record that the server has accepted the job."""
        self.look_anew(now)
        self._submitted_at = self._last_sign = now

    def start(self, now: float) -> None:
        """Record that the job has started."""
        if self.started_at is None:
            self.started_at = self._last_sign = now

    def take(
        self, kind: str, data: Mapping[str, Any], graph: Graph, *, connected: bool, now: float
    ) -> None:
        """Process an event of this job; ``graph`` is its graph."""
        self._last_sign, self.silence, self.alive = now, Silence(), True
        self._bad_end = self._bad_end or outcome_of_event(kind, data)
        if kind == "execution_start":
            self.start(now)
        node, output = data.get("node"), data.get("output")
        if kind == "executed" and node in graph and isinstance(output, dict):
            self.outputs[str(node)] = output
        if has_run(kind, data):
            self.ended, self.unbroken = True, connected
            self._succeeded = self._succeeded or kind == "execution_success"
            self._asks = 0
            self.ask_at = now if history_is_written(kind, data) else now + _SUCCESS_TO_HISTORY

    def outcome(self) -> Outcome | None:
        """Return the outcome, if the events are conclusive."""
        if self._bad_end is None and self._succeeded and OUTPUT_ID in self.outputs:
            return Succeeded(self.outputs)
        return self._bad_end

    def ask_again(self, now: float) -> bool:
        """Schedule another fetch of history, if it may not have been written yet."""
        again = self.ended and self._asks < len(_HISTORY_PAUSES) - 1
        if again:
            self._asks += 1
            self.ask_at = now + _HISTORY_PAUSES[self._asks]
        return again

    def soonest_limit(self, plan: JobPlan) -> tuple[float, str, float]:
        """Return (time, setting, seconds) of the timeout that expires first."""
        timeouts, limit = plan.timeouts, plan.limit
        seconds = timeouts.training if limit == "training" else timeouts.job
        whole = (self._submitted_at + seconds, limit, seconds)
        if self.started_at is None:
            return min(whole, (self._submitted_at + timeouts.queue, "queue", timeouts.queue))
        return min(whole, (self._last_sign + timeouts.idle, "idle", timeouts.idle))

    def times(self, now: float) -> tuple[float, float]:
        """Return the seconds from submission to start and from start to now."""
        started = self._submitted_at if self.started_at is None else self.started_at
        # The job may have started before the response to the submission arrived.
        return max(0.0, started - self._submitted_at), now - started
