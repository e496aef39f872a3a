"""Random schedules: whatever a server and a network do, a job ends, and none runs twice."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from storycore_tts import BackendUnavailable
from storycore_tts.adapters.comfyui.protocol.messages import QueueSnapshot
from storycore_tts.adapters.comfyui.protocol.plan import Phase

from .job_driver import FILE, GRAPH, HISTORY, ID, POLL, RESTORE, SUBMIT, WITHDRAW, JobDriver, entry


class Server:
    """A ComfyUI of one job: its queue, its history, and the frames that it sends."""

    def __init__(self) -> None:
        self.boot = 0
        self.runs: Counter[int] = Counter()  # by boot
        self.clear()

    def clear(self) -> None:
        self.pending = 0
        self.running = False
        self.ended: dict | None = None
        self.frames: list[tuple[str, dict]] = []

    def restart(self) -> None:
        self.clear()
        self.boot += 1

    def step(self, chance: random.Random) -> None:
        if self.running:
            self.running = False
            if chance.random() < 0.8:
                self.ended = entry()
                self.frames += [
                    ("executed", {"node": "output", "output": FILE}),
                    ("execution_success", {}),
                    ("executing", {"node": None}),
                ]
            else:
                error = {"node_id": "voice", "exception_message": "boom"}
                self.ended = entry(("execution_error", error))
                self.frames.append(("execution_error", error))
        elif self.pending:
            self.pending -= 1
            self.running = True
            self.runs[self.boot] += 1
            self.frames += [("execution_start", {}), ("executing", {"node": "voice"})]

    def remove(self) -> None:
        self.pending = 0
        if self.running:
            self.running = False
            self.ended = entry(("execution_interrupted", {}))
            self.frames.append(("execution_interrupted", {}))

    def snapshot(self) -> QueueSnapshot:
        running, pending = (ID,) * self.running, (ID,) * self.pending
        return QueueSnapshot(running, pending, dict.fromkeys((*running, *pending), GRAPH))


class World:
    """One job, one server, and a network in between that fails as the dice say."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.server = Server()
        self.job = JobDriver(
            known=self.chance.random() < 0.2,
            has_files=self.chance.random() < 0.3,
            connected=self.chance.random() < 0.8,
        )
        self.is_calm = False
        self.left = False  # cancelled or closed
        self.submissions_when_left = 0

    def fails(self) -> bool:
        return not self.is_calm and self.chance.random() < 0.3

    def answer(self) -> None:
        """Answer one of the open commands: well, or with an error before or after it arrived."""
        self.job.asks_for()
        if not self.job.open:
            return
        command, broke = self.chance.choice(self.job.open), BackendUnavailable("broke")
        lost_before, lost_after = self.fails(), self.fails()
        if command is SUBMIT:
            self.submission(broke, lost_before, lost_after)
        elif command is HISTORY:
            self.job.no_history(broke) if lost_before else self.job.history(self.server.ended)
        elif command is POLL:
            self.poll()
        elif command is RESTORE:
            self.job.restored(broke if lost_before else None)
        elif command is WITHDRAW:
            self.withdrawal(broke, lost_before, lost_after)

    def submission(self, broke: BackendUnavailable, lost_before: bool, lost_after: bool) -> None:
        if not lost_before:
            self.server.pending += 1
        if lost_before and self.chance.random() < 0.3:
            self.job.refused(broke)
        elif lost_before or lost_after:
            self.job.uncertain(broke)
        else:
            self.job.submitted()

    def withdrawal(self, broke: BackendUnavailable, lost_before: bool, lost_after: bool) -> None:
        listed = bool(self.server.pending or self.server.running)
        if not lost_before:
            self.server.remove()
        if lost_before or lost_after:
            self.job.not_withdrawn(broke)
        else:
            self.job.withdrawn(ID if listed else None)
            assert self.server.snapshot().graphs == {}

    def poll(self) -> None:
        if self.fails():
            self.job.no_snapshot(BackendUnavailable("silent"))
        else:
            self.job.snapshot(self.server.snapshot())

    def deliver(self) -> None:
        if self.server.frames:
            kind, data = self.server.frames.pop(0)
            if not self.fails():
                self.job.event(kind, **data)

    def restart(self) -> None:
        if self.server.boot < 2:
            self.server.restart()
            self.job.machine.stream_changed(connected=False)
            self.job.machine.stream_changed(connected=self.chance.random() < 0.8)

    def leave(self) -> None:
        if not self.left:
            self.left = True
            self.job.asks_for()
            self.submissions_when_left = self.job.commands.count(SUBMIT)
            how = self.chance.random()
            if how < 0.6:
                self.job.machine.cancel(self.job.now, suspended=how < 0.2)
            else:
                self.job.machine.close(self.job.now)

    def step(self) -> None:
        dice = self.chance.random()
        if dice < 0.40:
            self.answer()
        elif dice < 0.60:
            self.deliver()
        elif dice < 0.75:
            self.server.step(self.chance)
        elif dice < 0.90 or self.is_calm:
            self.job.wait(self.chance.choice([0.01, 0.1, 0.5, 2.0]))
        elif dice < 0.97:
            self.poll()
        elif dice < 0.98:
            self.restart()
        elif dice < 0.985:
            self.server.remove()  # by another client
        elif dice < 0.99:
            self.leave()

    def check(self) -> None:
        machine = self.job.machine
        assert self.job.open.count(SUBMIT) <= 1
        assert max(self.server.runs.values(), default=0) <= 1, "it ran twice on one server"
        if self.left:
            assert self.job.commands.count(SUBMIT) == self.submissions_when_left
        if machine.done is not None and machine.done.outputs:
            assert machine.done.outputs == {"output": FILE}

    def run(self) -> None:
        self.job.start()
        for _ in range(self.chance.randrange(400)):
            self.step()
            self.check()
        self.is_calm = True
        for _ in range(4000):
            if self.job.machine.ended:
                break
            self.step()
            if self.chance.random() < 0.1:
                self.poll()
            self.check()
        self.check_end()

    def check_end(self) -> None:
        machine, job = self.job.machine, self.job
        assert machine.ended, machine.phase
        assert machine.done or machine.error or machine.cancelled
        commands = len(job.commands)
        for _ in range(50):
            self.deliver()
            self.poll()
            job.wait(10)
            self.answer()
        assert len(job.commands) == commands, "it goes on after its end"
        assert machine.phase is Phase.ENDED


@pytest.mark.parametrize("schedules", [500, pytest.param(20_000, marks=pytest.mark.soak)])
def test_random_schedules(schedules):
    first = random.randrange(2**32)
    for seed in range(first, first + schedules):
        try:
            World(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
