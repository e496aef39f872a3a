from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

import pytest
from hypothesis import settings

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.errors import OutOfMemory
from storycore_tts.domain.jobs import JobKind, Order, Outcome
from storycore_tts.domain.progress import Progress, Stage

settings.register_profile("no deadline", deadline=None)  # busy machines are slow now and then
settings.load_profile("no deadline")


class Workshop:
    """A performer that does what the details of an order say, and remembers what it did."""

    def __init__(self):
        self.calls = []
        self.orders = {}
        self.at_once = self.most_at_once = 0
        self.cancelled = {}
        self.begun = defaultdict(asyncio.Event)
        self.ended = defaultdict(asyncio.Event)
        self.gates = defaultdict(asyncio.Event)

    async def __call__(self, job_id, order, report):
        self.calls.append(job_id)
        self.orders[job_id] = order
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun[job_id].set()
        try:
            return await self._do(job_id, order.details, report)
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
            if "stubborn" not in details:
                raise
            while details["stubborn"] == "deaf" and not self.gates["deaf"].is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.gates["deaf"].wait()
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


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """Where a queue keeps its jobs: its first arguments."""
    arguments = {"state_dir": tmp_path / "state"}
    if request.param == "postgres":
        arguments["database_url"] = request.getfixturevalue("postgres_url")
    return arguments


@pytest.fixture
def folder(tmp_path):
    """Where a queue keeps its jobs, for what is the same in every database."""
    return {"state_dir": tmp_path / "state"}


@pytest.fixture
async def opened():
    """Makes queues that do jobs, and closes them in the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_queue(place, perform, **arguments):
            defaults = {"concurrency": {"draft": 2}, "polling_seconds": 0.05}
            queue = DurableQueue(**place, **(defaults | arguments))
            stack.push_async_callback(queue.aclose)
            await queue.start(perform)
            return queue

        yield open_queue


@pytest.fixture
async def queue(place, workshop, opened):
    return await opened(place, workshop)


def order(text="Good morning.", *, owner="ann", kind=JobKind.SPEECH, key=None, **details):
    fields = {name: details.pop(name) for name in ("priority", "time_limit") if name in details}
    return Order(kind, "draft", {"text": text, **details}, owner, idempotency_key=key, **fields)


async def ended(queue, job):
    """Wait until a job has ended."""
    async for state in queue.watch(job.order.owner, job.id):
        job = state
    assert job.state.ended
    return job


async def until(queue, job, wanted):
    """Wait until a job is as wanted."""
    async for state in queue.watch(job.order.owner, job.id):
        if wanted(state):
            return state
    raise AssertionError(f"the job has never been so: {state}")
