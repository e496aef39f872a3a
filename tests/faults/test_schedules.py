"""Random schedules: faults, cancellations, reloads and jobs at once, and what must hold after them.

Everything is real but the clock: the service's event loop runs `SPEED` times as fast, so that its
pauses and patience cost little. A calm schedule has a network and a server that work, and waits
that no machine is slow enough to exceed: each error in it has its own excuse. In a rough one,
anything may be unreachable or strange at any time, and what counts is that nothing is lost, mixed
up, done twice or left behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import soundfile

from storycore_tts import (
    BackendTimeout,
    BackendUnavailable,
    CloneRequest,
    QwenTTSConfig,
    SpeechRequest,
    TrainedVoice,
    TrainingRequest,
    UnsupportedByBackend,
    open_tts,
)
from storycore_tts.domain.events import RequestFinished, RequestStarted
from storycore_tts.testing.comfyui import Hold
from storycore_tts.testing.comfyui import log as logged
from storycore_tts.testing.contract import tone_reference
from storycore_tts.testing.proxy import FaultyProxy

from . import mishaps
from .mishaps import SPEED, World

SEED = int(os.environ["STORYCORE_TTS_FAULT_SEED"])
PATIENCE = 60.0  # s of real time, for what must happen
STEPS = 10

# In seconds of the fast clock.
ROUGH = {"connect": 30, "request": 30, "idle": 90, "job": 600, "away": 10, "cancel": 100}
CALM = dict.fromkeys(ROUGH, 2000)
IMPATIENT = {"idle": 2, "queue": 2, "away": 1}

RELOADS = (
    {"default_speaker": "Vivian"},
    {"fallback": "draft"},
    {"rollout": 1.0, "fallback": "draft"},
    {"rollout": 1.0, "routing_key": "request"},
    {"timeouts": IMPATIENT, "fallback": "draft"},
    {"timeouts": IMPATIENT},
    {"backend": "draft"},
)

REFERENCE = tone_reference(220.0, seconds=3.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    for server in world.servers:
        server.start()
    yield world
    world.loop.run_until_complete(world.draft.aclose())
    world.loop.run_until_complete(world.loop.shutdown_default_executor())
    world.loop.close()
    for server in world.servers:
        server.stop()


@dataclass(eq=False)
class Job:
    """Something that was asked for."""

    mark: str  # stands in its graph and in no other one
    kind: str
    backend: str  # the one that the settings named then
    speaker: str
    task: asyncio.Task[Any]
    cancelled: bool = False

    def __str__(self) -> str:
        task, done = self.task, self.task.done()
        ended = repr(task if not done or task.cancelled() else task.exception() or task.result())
        return f"{self.mark} ({self.kind}) {'cancelled by us, ' * self.cancelled}{ended[:300]}"


class Schedule:
    """One run of the service against a server, a network and other people."""

    def __init__(self, world: World, seed: str) -> None:
        self.world, self.seed = world, seed
        self.draw = random.Random(seed)
        self.calm = self.draw.random() < 0.3
        self.server = world.servers[self.draw.randrange(2)]
        self.proxy = FaultyProxy(self.server.url)
        self.asked: list[Job] = []
        self.excused: set[type[Exception]] = set() if self.calm else {*mishaps.STRANGE}
        self.restarts: list[int] = []  # how long the log was then
        self.said: dict[str, list[tuple[Any, Any]]] = {}
        self.read: set[tuple[int, str]] = set()  # files, by the server's life and their names
        self.made_again, self.forgetful = 0, False
        self.gates_after_the_end: set[str] = set()
        self.told: list[RequestStarted | RequestFinished] = []
        self.steps: list[str] = []

    async def run(self) -> None:
        """Take some steps, let everything end, and look at what happened."""
        self.server.log.replace(())
        async with AsyncExitStack() as stack:
            stack.enter_context(self.proxy)
            stack.push_async_callback(self.clean)
            opening = open_tts(self.config(fallback=self.draw.choice((None, "draft"))))
            service = AsyncExitStack()
            stack.push_async_callback(service.aclose)
            self.tts = await service.enter_async_context(opening)
            self.tts.add_listener(self.hear)
            try:
                await self.ask()
                for _ in range(STEPS):
                    await self.draw.choice(self.moves())()
                await self.end(service)
            except AssertionError as wrong:
                raise AssertionError(f"{wrong}\n{self.story()}") from wrong

    def config(self, timeouts: dict[str, float] | None = None, **values: Any) -> QwenTTSConfig:
        waits = {**(CALM if self.calm else ROUGH), **(timeouts or {})}
        pauses = {"initial_seconds": 0.1, "longest_seconds": 1, "longest_retry_after": 2}
        return QwenTTSConfig(
            comfyui_url=self.proxy.url,
            comfyui={"timeouts": waits},
            retry={"attempts": 3, **pauses},
            breaker={"failures": 3, "probe_seconds": 1},
            **values,
        )

    def hear(self, event: object) -> None:
        if isinstance(event, RequestStarted | RequestFinished):
            self.told.append(event)

    def moves(self) -> list[Callable[[], Any]]:
        """What may come next; some of it more often."""
        usual = [self.ask, self.ask, self.cancel, self.wait, self.wait, self.reload]
        usual += [self.spoil_a_job, self.hold_a_job]
        rough = [self.spoil_the_server] * 3 + [self.spoil_the_network] * 2
        rough += [self.switch_the_network, self.restart, self.cut_the_sockets]
        return usual if self.calm else usual + rough

    # What callers do

    async def ask(self) -> None:
        self.world.jobs = number = self.world.jobs + 1
        mark, speaker = f"Number {number}.", self.tts.defaults.speaker
        job_id = self.draw.choice((None, str(UUID(int=number))))
        kind = self.draw.choice(("speak", "speak", "clone", "train"))
        self.steps.append(f"ask for {mark} ({kind})")
        if kind == "speak":
            work = self.tts.synthesize(SpeechRequest(mark, speaker, job_id=job_id))
        elif kind == "clone":
            work = self.tts.clone(CloneRequest(mark, REFERENCE, x_vector_only=True, job_id=job_id))
        else:
            folders = ("/data/recordings", f"/data/trained/{mark}")
            short = {"num_epochs": 2, "gradient_accumulation_steps": 1, "test_text": "Hi."}
            name = f"Speaker {number}"
            work = self.tts.train(TrainingRequest(*folders, name, job_id=job_id, **short))
        task = asyncio.ensure_future(work)
        self.asked.append(Job(mark, kind, self.tts.config.backend, speaker, task))
        await asyncio.sleep(self.draw.choice((0, 0.2, 0.5)))

    async def cancel(self) -> None:
        job = self.draw.choice(self.asked)
        job.cancelled = job.cancelled or not job.task.done()
        job.task.cancel()
        self.steps.append(f"cancel {job.mark}")

    async def wait(self) -> None:
        if waiting := [job.task for job in self.asked if not job.task.done()]:
            until = self.draw.choice((asyncio.FIRST_COMPLETED, asyncio.ALL_COMPLETED))
            await asyncio.wait(waiting, timeout=2, return_when=until)

    async def reload(self) -> None:
        to = self.draw.choice(RELOADS)
        if "timeouts" in to:
            self.excused |= {BackendTimeout, BackendUnavailable}
        self.steps.append(f"reload: {to}")
        await self.tts.reload(self.config(**{"fallback": None, **to}))

    # What goes wrong

    async def spoil_a_job(self) -> None:
        fault, errors = self.draw.choice([*mishaps.JOB_FAULTS.items()])
        self.excused |= set(errors)
        self.made_again += isinstance(fault, mishaps.MADE_AGAIN) and (fault.times or 0)
        self.forgetful = self.forgetful or isinstance(fault, mishaps.FORGETFUL)
        self.spoil(fault)

    async def hold_a_job(self) -> None:
        at = self.draw.choice(("queue", "loading", "running", "history"))
        self.steps.append(f"hold at {at}")
        gate = self.server.faults.hold(at)
        if at == "history":
            self.gates_after_the_end.add(gate.name)

    def spoil(self, fault: Any) -> None:
        self.steps.append(repr(fault))
        self.server.faults.add(fault)

    async def spoil_the_server(self) -> None:
        self.spoil(mishaps.server_fault(self.draw))

    async def spoil_the_network(self) -> None:
        self.proxy.add(rule := mishaps.network_fault(self.draw))
        self.steps.append(repr(rule))

    async def switch_the_network(self) -> None:
        what = self.draw.choice(("down", "up", "half_open"))
        self.steps.append(f"network {what}")
        getattr(self.proxy, what)()

    async def restart(self) -> None:
        self.steps.append("restart")
        down = self.draw.choice((0.0, 0.05))
        await asyncio.to_thread(self.server.kill)
        self.keep_what_it_said()  # which is gone when it starts again
        await asyncio.sleep(down)
        await asyncio.to_thread(self.server.start)
        self.restarts.append(len(self.server.log.records))

    async def cut_the_sockets(self) -> None:
        self.steps.append("cut the sockets")
        self.server.cut_sockets()

    # The end, and what must hold then

    async def end(self, service: AsyncExitStack) -> None:
        await self.wait()
        self.mend()
        await self.everything_given_up_is_off_the_server()
        self.server.faults.clear()
        tasks = [job.task for job in self.asked]
        _, waiting = await asyncio.wait(tasks, timeout=PATIENCE * SPEED)
        assert not waiting, f"{len(waiting)} do not end"
        await service.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        assert not self.world.complaints, self.world.complaints
        for job in self.asked:
            await self.ended_well(job)
        self.each_request_was_told_of_once()
        self.nothing_was_generated_twice()

    def mend(self) -> None:
        """Let nothing go wrong any more; what is held stays held."""
        for fault in self.server.faults.pending:
            if not isinstance(fault, Hold):
                self.server.faults.remove(fault)
        if not self.calm:
            # Stalled requests are dropped: a server that got them hours later would be right to
            # do them.
            self.proxy.clear()
            self.proxy.down()
            self.proxy.up()

    async def everything_given_up_is_off_the_server(self) -> None:
        """What nobody waits for any more waits nowhere, and was interrupted where it ran."""
        there, log = self.given_up_but_there, self.server.log
        off = await log.until(lambda log: not there(log.records), PATIENCE)
        assert off, f"still on the server: {there(log.records)}"

    def given_up_but_there(self, records: tuple[logged.Record, ...]) -> list[str]:
        there: Counter[str] = Counter()
        interrupted = set()
        for record in records[self.restarts[-1] if self.restarts else 0 :]:
            match record:
                case logged.Submitted(prompt_id=prompt_id):
                    there[prompt_id] += 1
                case logged.Deleted(prompt_id=prompt_id) | logged.Finished(prompt_id=prompt_id):
                    there[prompt_id] -= 1
                case logged.Held(gate=gate) if gate in self.gates_after_the_end:
                    there[str(record.prompt_id)] -= 1
                case logged.InterruptRequested(prompt_id=prompt_id):
                    interrupted.add(prompt_id)
        waiting = [job for job in self.asked if not job.task.done()]
        waited_for = {prompt_id for job in waiting for prompt_id in self.submissions(job)}
        there_still = {prompt_id for prompt_id, times in there.items() if times > 0}
        return sorted(there_still - waited_for - interrupted)

    def submissions(self, job: Job) -> list[str]:
        given = self.server.log.of(logged.Submitted)
        return [one.prompt_id for one in given if job.mark in str(one.graph)]

    async def ended_well(self, job: Job) -> None:
        if job.task.cancelled():
            assert job.cancelled, f"{job.mark} was cancelled, and not by us"
            return
        error = job.task.exception()
        if error is None:
            await self.is_right(job, job.task.result())
        elif job.backend == "draft" and job.kind != "speak":
            assert type(error) is UnsupportedByBackend, repr(error)
        else:
            assert type(error) in self.excused, f"{job.mark} ended with {error!r}"

    async def is_right(self, job: Job, result: Any) -> None:
        fell_back = any("was unavailable" in warning for warning in result.warnings)
        assert fell_back == (result.backend != job.backend), f"{job.mark}: {result.warnings}"
        if any("submitted again" in warning for warning in result.warnings):
            assert len(self.submissions(job)) > 1, f"{job.mark} was never given again"
            assert not self.calm, f"{job.mark} was given again, and the server was there"
        if isinstance(result, TrainedVoice):
            assert result.checkpoint_path == f"/data/trained/{job.mark}/checkpoint-epoch-1"
            assert result.speaker_name == f"Speaker {job.mark[7:-1]}"
        elif result.backend == "draft":
            expected = await self.world.draft.synthesize(SpeechRequest(job.mark, job.speaker))
            assert np.array_equal(result.samples, expected.samples), f"{job.mark}: wrong draft"
        else:
            self.is_what_the_server_said(job, result)

    def is_what_the_server_said(self, job: Job, result: Any) -> None:
        self.keep_what_it_said()
        heard = []
        for said, samples in self.said.get(result.job_id, ()):
            assert job.mark in str(said), f"{job.mark} got {said}"
            heard.append(samples)
        assert any(np.array_equal(result.samples, samples) for samples in heard), (
            f"{job.mark}: not what the server said"
        )
        if job.kind == "speak":
            assert result.speaker == job.speaker

    def keep_what_it_said(self) -> None:
        """Read what the server has written, graphs and samples, by job.

        The files stay: those of other jobs have perhaps not been downloaded yet.
        """
        for path in self.files:
            if (key := (len(self.restarts), path.name)) in self.read:
                continue
            self.read.add(key)
            try:
                with soundfile.SoundFile(path) as file:
                    graph, samples = json.loads(file.comment)["prompt"], file.read(dtype="float32")
            except soundfile.LibsndfileError:
                continue  # a mishap damaged it, so that no job may end with it
            self.said.setdefault(graph["output"]["inputs"]["job"], []).append((graph, samples))

    @property
    def files(self) -> list[Path]:
        """What the server has written since it was started last."""
        return list((self.server.storage.root / "temp").glob("ComfyUI_temp_*.flac"))

    def each_request_was_told_of_once(self) -> None:
        begun = Counter(e.request_id for e in self.told if isinstance(e, RequestStarted))
        ended = Counter(e.request_id for e in self.told if isinstance(e, RequestFinished))
        assert begun == ended
        assert set(begun.values()) <= {1}, begun

    def nothing_was_generated_twice(self) -> None:
        """By one run of the server, for one submission; nor more often than there are reasons."""
        if self.forgetful:
            return
        records = self.server.log.records
        lives = zip([0, *self.restarts], [*self.restarts, len(records)], strict=True)
        for begin, end in lives:
            twice = [one for one, times in generated(records[begin:end]).items() if times > 1]
            assert not twice, f"generated twice: {twice}"
        for job in self.asked:
            times = sum(generated(records)[one] for one in set(self.submissions(job)))
            most = 1 + len(self.restarts) + self.made_again
            assert times <= most, f"{job.mark} was generated {times} times"

    def story(self) -> str:
        lines = [f"schedule {self.seed}, {'calm' if self.calm else 'rough'}", *self.steps]
        for record in self.server.log.records:
            shown = {k: v for k, v in vars(record).items() if k not in ("headers", "graph")}
            lines.append(f"{record.kind} {shown}")
        return "\n".join([*lines, *map(str, self.asked)])

    async def clean(self) -> None:
        """Leave nothing to the next schedule."""
        self.server.faults.clear()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        self.world.complaints.clear()
        for path in self.files:
            path.unlink()
        shutil.rmtree(self.world.folder / "trained", ignore_errors=True)


def generated(records: Iterable[logged.Record]) -> Counter[str]:
    """How often a node of the pack ran, for each submission."""
    return Counter(
        record.prompt_id
        for record in records
        if isinstance(record, logged.NodeRan) and record.node_type.startswith("FB_")
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("part", "count"),
    [(0, 30), *(pytest.param(part, 100, marks=pytest.mark.soak) for part in range(1, 200))],
)
def test_random_schedules_end_well(world: World, part: int, count: int) -> None:
    """Each job ends once, in its own audio or in an error for a reason; nothing runs twice.

    ``STORYCORE_TTS_FAULT_SEED`` in the header of the run makes the same steps again. How threads
    interleave does not follow from it: a failure may need a few runs to come again.
    """
    for number in range(count):
        world.loop.run_until_complete(Schedule(world, f"{SEED + part}-{number}").run())
