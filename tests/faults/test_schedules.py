"""Random schedules: faults, cancellations, reloads and jobs at once, and what must hold after them.

Everything is real but the clock: the service's event loop runs `SPEED` times as fast, so that its
pauses and patience cost little. A calm schedule has a network and a server that work, and waits
that no machine is slow enough to exceed: each error in it has its own excuse. In a rough one,
anything may be unreachable or strange at any time, and what counts is that nothing is lost, mixed
up, done twice or left behind.

The steps follow from the seed; how the threads of server, network and service interleave does not,
so a failure may need a few runs to come again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import selectors
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
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    CloneRequest,
    GenerationFailed,
    JobCancelled,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    QwenTTSConfig,
    RunawayGeneration,
    SilentAudio,
    SpeechRequest,
    TrainedVoice,
    TrainingRequest,
    UnsupportedByBackend,
    open_tts,
)
from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.domain.events import RequestFinished, RequestStarted
from storycore_tts.testing import comfyui as standin
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.log import (
    Deleted,
    Finished,
    Held,
    InterruptRequested,
    NodeRan,
    Record,
    Submitted,
)
from storycore_tts.testing.contract import tone_reference
from storycore_tts.testing.proxy import (
    Corrupt,
    Cut,
    FaultyProxy,
    Refuse,
    Reset,
    Slow,
    Stall,
    StallConnect,
)

SEED = int(os.environ["STORYCORE_TTS_FAULT_SEED"])
SPEED = 20
PATIENCE = 60.0  # s of real time, for what must happen
STEPS = 10

# In seconds of the fast clock.
ROUGH = {"connect": 30, "request": 30, "idle": 90, "job": 600, "away": 10, "cancel": 100}
CALM = dict.fromkeys(ROUGH, 2000)
IMPATIENT = {"idle": 2, "queue": 2, "away": 1}

REFERENCE = tone_reference(220.0, seconds=3.0)

# What may go wrong ------------------------------------------------------------------------------

Excused = tuple[type[Exception], ...]
UNREACHABLE: Excused = (BackendUnavailable, BackendTimeout, BackendOverloaded)
STRANGE: Excused = (
    *UNREACHABLE, AuthenticationFailed, GenerationFailed, JobLost, JobCancelled, NodePackMissing,
)  # fmt: skip

PATHS = [
    "/queue",
    "/history/*",
    "/prompt",
    "/upload/image",
    "/view",
    "/system_stats",
    "/object_info/*",
]
EVENTS = [
    "*",
    "status",
    "execution_start",
    "progress",
    "executing",
    "executed",
    "execution_success",
]
REQUESTS = (
    b"", b"GET /queue", b"GET /history", b"GET /view", b"GET /ws", b"GET /object_info",
    b"POST /prompt", b"POST /upload", b"POST /queue", b"POST /interrupt", b"POST /api",
)  # fmt: skip

# Of a job: what it excuses, on a calm server too.
JOB_FAULTS: list[tuple[standin.Fault, Excused]] = [
    (standin.NodeError(), (GenerationFailed,)),
    (standin.out_of_memory(), (OutOfMemory,)),
    (standin.InterruptedByAnother(), (JobCancelled,)),
    (standin.DeletedByAnother(), (JobCancelled,)),
    (standin.DeletedByAnother(after=1), (JobCancelled,)),
    (standin.QueueCleared(), (JobCancelled,)),
    (standin.SlowModelLoad(seconds=0.05), ()),
    (standin.SilentAudio(), (SilentAudio,)),
    (standin.SilentAudio(times=3), (SilentAudio,)),
    (standin.QuietAudio(), (SilentAudio,)),
    (standin.RunawayAudio(times=2), (RunawayGeneration,)),
    (standin.DiskFull(), (GenerationFailed,)),
    (standin.TruncatedFile(), (GenerationFailed,)),
    (standin.EmptyFile(), (GenerationFailed,)),
    (standin.OutputsMissing(), (GenerationFailed,)),
    (standin.OutputDeleted(), (JobLost,)),
    (standin.HistoryStatusNull(), (GenerationFailed,)),
    (standin.HistoryLost(), (JobLost, JobCancelled)),
    (standin.HistoryEmpty(times=4), (JobLost, JobCancelled)),
    (standin.NodePackMissing(), (NodePackMissing, GenerationFailed)),
]
# Generations that went wrong by chance are made once more; of the others the server says that it
# knows nothing, though they ran.
MADE_AGAIN = (standin.SilentAudio, standin.QuietAudio, standin.RunawayAudio)
FORGETFUL = (standin.HistoryLost, standin.HistoryEmpty)


def server_fault(draw: random.Random) -> standin.Fault:
    """Something that goes wrong with a request or a WebSocket."""
    http = {
        "path": draw.choice(PATHS), "times": draw.randint(1, 3), "after": draw.randint(0, 2),
    }  # fmt: skip
    socket = {"on": draw.choice(EVENTS), "after": draw.randint(0, 2)}
    later = draw.choice((None, {"Retry-After": "1"}, {"Retry-After": "9"}))
    often = draw.choice((1, 5, None))
    return draw.choice(
        [
            standin.Answer(status=draw.choice((401, 404, 500, 502, 504)), **http),
            standin.Answer(status=draw.choice((429, 503)), headers=later, **http),
            # Of what it reads only: nobody can help a server that lies about what it did.
            standin.Answer(status=200, body=draw.choice(("", "[]")), method="GET", **http),
            standin.Delay(seconds=draw.choice((0.005, 0.05)), **http),
            standin.Hang(path=http["path"]),
            standin.ResetBefore(**http),
            standin.ResetAfter(**http),
            standin.CutBody(**http),
            standin.WrongLength(by=draw.choice((-20, 100)), **http),
            standin.CorruptBody(**http),
            standin.RefuseSocket(times=often),
            standin.CloseSocket(**socket),
            standin.AbortSocket(**socket),
            standin.SilenceSocket(**socket),
            standin.DuplicateFrames(on=socket["on"], times=often),
            standin.StripPromptId(on=socket["on"], times=often),
            standin.DropFrames(types=draw.choice((EVENTS, ("executing",)))),
            standin.unknown_event(**socket),
            standin.binary_frame(**socket),
            standin.invalid_json(**socket),
        ]
    )


def network_fault(draw: random.Random) -> Any:
    """Something that goes wrong on the way to the server."""
    where = {
        "request": draw.choice(REQUESTS),
        "direction": draw.choice(("request", "response")),
        "after_bytes": draw.choice((0, 20, 150, 400, 1000)),
        "after": draw.randint(0, 2),
    }
    # Of answers that can be seen to be wrong, and of nothing that we send: what a server mishears
    # no client can know.
    answer = draw.choice((b"GET /queue", b"GET /history", b"GET /view", b"GET /ws"))
    return draw.choice(
        [
            Cut(**where),
            Reset(**where),
            Stall(**where),
            Slow(bytes_per_second=draw.choice((5_000, 50_000)), **where),
            Corrupt(
                **{**where, "request": answer, "direction": "response"},
                length=draw.choice((1, 50, None)),
            ),
            Refuse(times=draw.randint(1, 3)),
            StallConnect(),
        ]
    )


# The world in which schedules run ---------------------------------------------------------------


class _FastSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is fast, for all that waits on it."""

    def __init__(self) -> None:
        super().__init__(_FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


class World:
    """What all schedules of a test share: an old and a modern server, and its folders."""

    def __init__(self, folder: Path) -> None:
        self.loop = FastLoop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.folder = folder
        (folder / "recordings").mkdir()
        for number in range(2):
            for suffix in (".wav", ".txt"):
                (folder / "recordings" / f"{number}{suffix}").touch()
        self.servers = [
            StandInComfyUI(modern=modern, server_paths={"/data": folder})
            for modern in (False, True)
        ]
        self.draft = DraftAdapter()
        self.jobs = 0

    async def close(self) -> None:
        await self.draft.aclose()
        await self.loop.shutdown_default_executor()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    for server in world.servers:
        server.start()
    yield world
    world.loop.run_until_complete(world.close())
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


# A schedule -------------------------------------------------------------------------------------


class Schedule:
    """One run of the service against a server, a network and other people."""

    def __init__(self, world: World, seed: str) -> None:
        self.world, self.seed = world, seed
        self.draw = random.Random(seed)
        self.calm = self.draw.random() < 0.3
        self.server = world.servers[self.draw.randrange(2)]
        self.proxy = FaultyProxy(self.server.url)
        self.asked: list[Job] = []
        self.excused: set[type[Exception]] = set() if self.calm else set(STRANGE)
        self.restarts: list[int] = []  # how long the log was then
        self.made_again = 0
        self.forgetful = False
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
            work = self.tts.train(
                TrainingRequest(
                    dataset="/data/recordings",
                    output_dir=f"/data/trained/{mark}",
                    speaker_name=f"Speaker {number}",
                    test_text="Hi.",
                    num_epochs=2,
                    gradient_accumulation_steps=1,
                    job_id=job_id,
                )
            )
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
        to = self.draw.choice(
            [
                {"default_speaker": "Vivian"},
                {"fallback": "draft"},
                {"rollout": 1.0, "fallback": "draft"},
                {"rollout": 1.0, "routing_key": "request"},
                {"timeouts": IMPATIENT, "fallback": "draft"},
                {"timeouts": IMPATIENT},
                {"backend": "draft"},
            ]
        )
        if "timeouts" in to:
            self.excused |= {BackendTimeout, BackendUnavailable}
        self.steps.append(f"reload: {to}")
        await self.tts.reload(self.config(**{"fallback": None, **to}))

    # What goes wrong

    async def spoil_a_job(self) -> None:
        fault, errors = self.draw.choice(JOB_FAULTS)
        self.steps.append(repr(fault))
        self.excused |= set(errors)
        self.made_again += isinstance(fault, MADE_AGAIN) and (fault.times or 0)
        self.forgetful = self.forgetful or isinstance(fault, FORGETFUL)
        self.server.faults.add(fault)

    async def hold_a_job(self) -> None:
        at = self.draw.choice(("queue", "loading", "running", "history"))
        self.steps.append(f"hold at {at}")
        gate = self.server.faults.hold(at)
        if at == "history":
            self.gates_after_the_end.add(gate.name)

    async def spoil_the_server(self) -> None:
        fault = server_fault(self.draw)
        self.steps.append(repr(fault))
        self.server.faults.add(fault)

    async def spoil_the_network(self) -> None:
        rule = network_fault(self.draw)
        self.steps.append(repr(rule))
        self.proxy.add(rule)

    async def switch_the_network(self) -> None:
        what = self.draw.choice(("down", "up", "half_open"))
        self.steps.append(f"network {what}")
        getattr(self.proxy, what)()

    async def restart(self) -> None:
        self.steps.append("restart")
        down = self.draw.choice((0.0, 0.05))
        await asyncio.to_thread(self.server.restart, down_seconds=down)
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
            if not isinstance(fault, standin.Hold):
                self.server.faults.remove(fault)
        if not self.calm:
            # Stalled requests are dropped: a server that got them hours later would be right to
            # do them.
            self.proxy.clear()
            self.proxy.down()
            self.proxy.up()

    async def everything_given_up_is_off_the_server(self) -> None:
        """What nobody waits for any more waits nowhere, and was interrupted where it ran."""
        off = await self.server.log.until(
            lambda log: not self.given_up_but_there(log.records), PATIENCE
        )
        assert off, f"still on the server: {self.given_up_but_there(self.server.log.records)}"

    def given_up_but_there(self, records: tuple[Record, ...]) -> list[str]:
        there: Counter[str] = Counter()
        interrupted = set()
        for record in records[self.restarts[-1] if self.restarts else 0 :]:
            match record:
                case Submitted(prompt_id=prompt_id):
                    there[prompt_id] += 1
                case Deleted(prompt_id=prompt_id) | Finished(prompt_id=prompt_id):
                    there[prompt_id] -= 1
                case Held(gate=gate, prompt_id=prompt_id) if gate in self.gates_after_the_end:
                    there[str(prompt_id)] -= 1
                case InterruptRequested(prompt_id=prompt_id):
                    interrupted.add(prompt_id)
        waited_for = {
            prompt_id
            for job in self.asked
            if not job.task.done()
            for prompt_id in self.submissions(job)
        }
        there_still = {prompt_id for prompt_id, times in there.items() if times > 0}
        return sorted(there_still - waited_for - interrupted)

    def submissions(self, job: Job) -> list[str]:
        return [
            record.prompt_id
            for record in self.server.log.of(Submitted)
            if job.mark in str(record.graph)
        ]

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
        if any("given it again" in warning for warning in result.warnings):
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
        heard = []
        for path in (self.server.storage.root / "output").rglob(f"{result.job_id}_*.flac"):
            with soundfile.SoundFile(path) as file:
                said = json.loads(file.comment)["prompt"]
                assert job.mark in str(said), f"{job.mark} got {said}"
                heard.append(file.read(dtype="float32"))
        assert any(np.array_equal(result.samples, samples) for samples in heard), (
            f"{job.mark}: not what the server said"
        )
        if job.kind == "speak":
            assert result.speaker == job.speaker

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
        jobs = "\n".join(str(job) for job in self.asked)
        steps = "\n".join(self.steps)
        shown = (
            f"{record.kind} { {k: v for k, v in vars(record).items() if k not in HIDDEN} }"
            for record in self.server.log.records
        )
        log = "\n".join(line for line in shown if "/queue" not in line)
        calm = "calm" if self.calm else "rough"
        return f"schedule {self.seed}, {calm}\n{steps}\n{jobs}\n{log}"

    async def clean(self) -> None:
        """Leave nothing to the next schedule."""
        self.server.faults.clear()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        self.world.complaints.clear()
        for folder in (self.server.storage.root / "output", self.world.folder / "trained"):
            shutil.rmtree(folder, ignore_errors=True)


HIDDEN = ("headers", "graph")


def generated(records: Iterable[Record]) -> Counter[str]:
    """How often a node of the pack ran, for each submission."""
    return Counter(
        record.prompt_id
        for record in records
        if isinstance(record, NodeRan) and record.node_type.startswith("FB_")
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("part", "count"),
    [(0, 60), *(pytest.param(part, 100, marks=pytest.mark.soak) for part in range(1, 200))],
)
def test_random_schedules_end_well(world: World, part: int, count: int) -> None:
    """Each job ends once, in its own audio or in an error for a reason; nothing runs twice.

    ``STORYCORE_TTS_FAULT_SEED`` in the header of the run makes the same schedules again.
    """
    for number in range(count):
        world.loop.run_until_complete(Schedule(world, f"{SEED + part}-{number}").run())
