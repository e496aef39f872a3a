from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict

import psutil
import pytest

from storycore_tts.adapters.queue import DurableQueue, Intervals
from storycore_tts.domain.jobs import JobKind, JobSpec, Outcome
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.errors import OutOfMemory

FAST = {"polling": 0.05, "retry": 0.1, "members": 0.2}


class Workshop:
    """A handler that does what the details of a job say, and remembers what it did."""

    def __init__(self):
        self.calls = []
        self.specs = {}
        self.at_once = self.most_at_once = 0
        self.cancelled = {}
        self.begun = defaultdict(asyncio.Event)
        self.ended = defaultdict(asyncio.Event)
        self.gates = defaultdict(asyncio.Event)

    async def __call__(self, job_id, spec, report):
        self.calls.append(job_id)
        self.specs[job_id] = spec
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun[job_id].set()
        try:
            return await self._do(job_id, spec.details, report)
        finally:
            self.at_once -= 1
            self.ended[job_id].set()

    async def _do(self, job_id, details, report):
        try:
            for fraction in details.get("progress", ()):
                report(Progress(Stage.GENERATING, fraction))
            if "hold" in details:
                await self.gates[details["hold"]].wait()
        except asyncio.CancelledError as error:
            self.cancelled[job_id] = error.args
            for fraction in details.get("last_words", ()):
                report(Progress(Stage.GENERATING, fraction))
            if "stubborn" not in details:
                raise
        for fraction in details.get("last_progress", ()):
            report(Progress(Stage.GENERATING, fraction))
        if details.get("fail") == "on purpose":
            raise OutOfMemory("The GPU is full.", hint="Wait.", backend="draft", node_type="N")
        if details.get("fail") == "bug":
            raise ValueError(f"secret internals and {details['text']}")
        if details.get("fail") == "cancelled":
            raise asyncio.CancelledError
        sound = details.get("sound", "RIFF")
        return Outcome({"text": details.get("text")}, sound.encode(), "audio/wav" if sound else "")


@pytest.fixture
def workshop():
    return Workshop()


@pytest.fixture
def folder(tmp_path):
    """Where a queue keeps its jobs, for what is the same in every database."""
    return {"state_dir": tmp_path / "state"}


@pytest.fixture
def shared(postgres_url, tmp_path):
    """Where several processes keep their jobs."""
    return {"state_dir": tmp_path, "database_url": postgres_url}


@pytest.fixture(params=["folder", "shared"], ids=["sqlite", "postgres"])
def place(request):
    """Where a queue keeps its jobs, for what the databases may do in different ways."""
    return request.getfixturevalue(request.param)


@pytest.fixture
async def opened():
    """Makes queues that do jobs, and closes them in the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_queue(place, perform, kind=DurableQueue, intervals=(), **arguments):
            pace = Intervals(**FAST | dict(intervals))
            defaults = {"concurrency": {"draft": 2}, "intervals": pace}
            queue = kind(**place, **(defaults | arguments))
            stack.push_async_callback(queue.aclose)
            await queue.start(perform)
            return queue

        yield open_queue


@pytest.fixture
async def queue(folder, workshop, opened):
    return await opened(folder, workshop)


def spec(text="Good morning.", *, owner="ann", kind=JobKind.SPEECH, key=None, **details):
    fields = {name: details.pop(name) for name in ("priority", "time_limit") if name in details}
    return JobSpec(kind, "draft", {"text": text, **details}, owner, idempotency_key=key, **fields)


async def ended(queue, job):
    """Wait until a job has ended."""
    async for state in queue.watch(job.spec.owner, job.id):
        job = state
    assert job.state.ended
    return job


async def until(queue, job, wanted):
    """Wait until a job is as wanted."""
    async with contextlib.aclosing(queue.watch(job.spec.owner, job.id)) as states:
        async for state in states:
            if wanted(state):
                return state
    raise AssertionError(f"the job has never been so: {state}")


def traces():
    """Tasks, threads, connections and open files that this process has now."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    threads = {one for one in threading.enumerate() if not one.name.startswith("asyncio_")}
    process = psutil.Process()
    connections = {one for one in process.net_connections("tcp") if one.raddr}
    return {*tasks, *threads, *connections, *(file.path for file in process.open_files())}


async def nothing_is_left(before):
    """Assert that all of ours ends; a thread that was told to end needs a moment for it."""
    clock = asyncio.get_running_loop().time
    over = clock() + 20
    while left := traces() - before:
        assert clock() < over, left
        await asyncio.sleep(0)
