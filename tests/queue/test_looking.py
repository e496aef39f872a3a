"""A look at the database takes a while, and tells of the moment in which it began."""

from __future__ import annotations

import asyncio
import threading

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.errors import OutOfMemory
from storycore_tts.domain.jobs import JobKind, JobState, Order, Outcome


class SlowToLook(DurableQueue):
    """Looks, and is slow to tell, when somebody says so."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.slow = False
        self.has_looked, self.tells = threading.Event(), threading.Event()
        self.told = asyncio.Event()

    def _look_up(self, job_ids):
        seen = super()._look_up(job_ids)
        if self.slow:
            self.slow = False
            self.has_looked.set()
            assert self.tells.wait(30)
        return seen

    def _found(self, job_id, entry):
        super()._found(job_id, entry)
        if self.tells.is_set():
            self.told.set()


async def test_a_job_that_begins_while_somebody_looks_is_not_forgotten(tmp_path):
    """It was queued when they looked, and running when they told: nobody took it from us."""
    begun, may_end = asyncio.Event(), {"first": asyncio.Event(), "second": asyncio.Event()}

    async def perform(job_id, order, report):
        if order.details["text"] == "second":
            begun.set()
        await may_end[order.details["text"]].wait()
        return Outcome({}, b"RIFF", "audio/wav")

    def order(text):
        return Order(JobKind.SPEECH, "draft", {"text": text}, "ann")

    queue = SlowToLook(tmp_path, {"draft": 1}, polling_seconds=0.05)
    try:
        await queue.start(perform)
        await queue.submit(order("first"))
        second = await queue.submit(order("second"))
        queue.slow = True

        async def seen():
            return [job.state async for job in queue.watch("ann", second.id)]

        watching = asyncio.ensure_future(seen())
        assert await asyncio.to_thread(queue.has_looked.wait, 30)
        may_end["first"].set()
        await asyncio.wait_for(begun.wait(), 30)
        queue.tells.set()
        await asyncio.wait_for(queue.told.wait(), 30)  # what was seen, before the job ends
        may_end["second"].set()
        assert (await asyncio.wait_for(watching, 10))[-1] is JobState.SUCCEEDED
    finally:
        queue.tells.set()
        await queue.aclose()


class TakenForDead(SlowToLook):
    """Looks just after others took it for dead, and put what it does back into the queue."""

    def _look_up(self, job_ids):
        if self.slow:
            self._runtime.recover(self._runtime.executor)
        return super()._look_up(job_ids)


async def test_a_job_that_comes_back_while_somebody_looks_is_ended_once(tmp_path):
    """It was queued when they looked, and ours again when they told: it is ours."""
    calls, begun, may_end = [], asyncio.Event(), asyncio.Event()

    async def perform(job_id, order, report):
        calls.append(job_id)
        begun.set()
        await may_end.wait()
        raise OutOfMemory("The GPU is full.")

    queue = TakenForDead(tmp_path, {"draft": 2}, polling_seconds=0.3, lost_seconds=1.0)
    try:
        await queue.start(perform)
        job = await queue.submit(Order(JobKind.SPEECH, "draft", {}, "ann"))
        await begun.wait()
        queue.slow = True
        assert await asyncio.to_thread(queue.has_looked.wait, 30)
        while not queue._works[job.id][0].generation:  # until it was given to us again
            await asyncio.sleep(0.01)
        queue.tells.set()
        await asyncio.wait_for(queue.told.wait(), 30)  # what was seen, before the job ends
        may_end.set()
        seen = [job.state async for job in queue.watch("ann", job.id)]
        assert seen[-1] is JobState.FAILED
        assert calls == [job.id]
    finally:
        queue.tells.set()
        await queue.aclose()
