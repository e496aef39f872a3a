"""A job's state machine in a test's hands: what it asks for is said, and time is a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storycore_tts.adapters.comfyui.protocol.job import JobMachine
from storycore_tts.adapters.comfyui.protocol.messages import QueueSnapshot, speech_progress
from storycore_tts.adapters.comfyui.protocol.plan import Command, JobPlan, Phase, Withdrawn
from storycore_tts.domain.progress import Progress
from storycore_tts.settings import ComfyUITimeouts

ID = "0b7b3f6e-9d5c-4b57-8f0e-3f6f2d8f2a11"
GRAPH: dict[str, Any] = {
    "voice": {"class_type": "FB_Qwen3TTSCustomVoice", "inputs": {"text": "Hello."}},
    "output": {"class_type": "SaveAudio", "inputs": {"filename_prefix": f"storycore_tts/{ID}"}},
}
FILE = {"audio": [{"filename": "a.flac", "subfolder": "storycore_tts", "type": "output"}]}
TIMEOUTS = ComfyUITimeouts(queue=300.0, idle=100.0, away=10.0, cancel=5.0, job=600.0)
EMPTY = QueueSnapshot((), (), {})

SUBMIT, HISTORY, POLL = Command.SUBMIT, Command.FETCH_HISTORY, Command.POLL_QUEUE
RESTORE, WITHDRAW = Command.RESTORE_FILES, Command.WITHDRAW


def entry(*events: tuple[str, dict[str, Any]], graph: Any = GRAPH, **status: Any) -> dict[str, Any]:
    """A history entry; without events one that succeeded."""
    ended = [["execution_success", {}]] if not events else [list(event) for event in events]
    return {
        "prompt": [1, ID, graph, {}, ["output"]],
        "outputs": {"output": FILE} if not events else {},
        "status": {
            "status_str": "error" if events else "success",
            "completed": not events,
            "messages": ended,
            **status,
        },
    }


def queue(*, running: Any = (), pending: Any = (), graph: Any = GRAPH) -> QueueSnapshot:
    """A snapshot of the queue with these ids; all have the same graph."""
    return QueueSnapshot(tuple(running), tuple(pending), dict.fromkeys((*running, *pending), graph))


class JobDriver:
    """Drives one machine; ``now`` is its time."""

    def __init__(self, *, connected: bool = True, **plan: Any) -> None:
        plan.setdefault("read_event", lambda k, d: speech_progress(k, d, voice_node="voice"))
        self.now = 1000.0
        self.machine = JobMachine(
            JobPlan(GRAPH, prompt_id=ID, node_id="voice", timeouts=TIMEOUTS, **plan),
            connected=connected,
            between=lambda low, high: high,
        )
        self.commands: list[Command] = []  # all that were ever asked for
        self.open: list[Command] = []  # asked for, and not answered yet
        self.reported: list[Progress] = []

    def _take(self) -> None:
        taken = self.machine.take_commands()
        self.commands += taken
        self.open += taken
        self.reported += self.machine.take_progress()

    def asks_for(self, *commands: Command) -> bool:
        """Tell whether exactly this is asked for and unanswered."""
        self._take()
        return self.open == list(commands)

    def _answer(self, command: Command) -> None:
        self._take()
        assert command in self.open, (command, self.open, self.machine.phase)
        self.open.remove(command)

    def start(self) -> JobDriver:
        self.machine.start(self.now)
        return self

    def wait(self, seconds: float) -> JobDriver:
        """Let time pass; the machine ticks at its deadlines and at the end."""
        until = self.now + seconds
        while self.machine.deadline <= until:
            self.now = max(self.now, self.machine.deadline)
            before = self.machine.deadline
            self.machine.tick(self.now)
            self._take()
            if self.machine.deadline == before:
                break
        self.now = until
        self.machine.tick(until)
        self._take()
        return self

    def submitted(self, prompt_id: str = ID, node_errors: Mapping[str, Any] | None = None) -> None:
        self._answer(SUBMIT)
        self.machine.submitted(prompt_id, node_errors or {}, self.now)

    def uncertain(self, cause: Exception) -> None:
        self._answer(SUBMIT)
        self.machine.submission_uncertain(cause, self.now)  # type: ignore[arg-type]

    def refused(self, error: Exception) -> None:
        self._answer(SUBMIT)
        self.machine.submission_refused(error, self.now)  # type: ignore[arg-type]

    def snapshot(self, snapshot: QueueSnapshot, *, asked: float | None = None) -> None:
        """A poll of the queue that answers now, and was sent now unless ``asked`` says when."""
        self._take()
        self.open = [command for command in self.open if command is not POLL]
        asked_at = self.now if asked is None else asked
        self.machine.queue_answered(snapshot, asked_at, self.now)

    def no_snapshot(self, error: Exception) -> None:
        self._take()
        self.open = [command for command in self.open if command is not POLL]
        self.machine.queue_failed(error, self.now, self.now)  # type: ignore[arg-type]

    def history(self, found: Mapping[str, Any] | None) -> None:
        self._answer(HISTORY)
        self.machine.history_answered(found, self.now)

    def no_history(self, error: Exception) -> None:
        self._answer(HISTORY)
        self.machine.history_failed(error, self.now)  # type: ignore[arg-type]

    def restored(self, error: Exception | None = None) -> None:
        self._answer(RESTORE)
        if error is None:
            self.machine.files_restored(None, self.now)
        else:
            self.machine.restoring_failed(error, self.now)  # type: ignore[arg-type]

    def withdrawn(self, listed_as: str | None = None, *, runs: bool = False) -> None:
        self._answer(WITHDRAW)
        self.machine.withdrawn(Withdrawn(listed_as, runs), self.now)

    def not_withdrawn(self, error: Exception) -> None:
        self._answer(WITHDRAW)
        self.machine.withdrawal_failed(error, self.now)  # type: ignore[arg-type]

    def event(self, kind: str, **data: Any) -> None:
        self.machine.event(kind, {"prompt_id": ID, **data}, self.now)

    def runs(self) -> JobDriver:
        """Submit it, and let the server start it."""
        self.start().submitted()
        self.event("execution_start")
        self.event("executing", node="voice")
        return self

    def absent(self, found: Mapping[str, Any] | None = None) -> None:
        """One look at queue and history that finds nothing, or this entry."""
        self.snapshot(EMPTY)
        self.history(found)

    @property
    def is_leaving(self) -> bool:
        return self.machine.phase is Phase.LEAVING

    @property
    def outputs(self) -> Mapping[str, Any]:
        assert self.machine.done is not None, self.machine.error
        return self.machine.done.outputs
