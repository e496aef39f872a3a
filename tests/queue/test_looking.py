"""A look at the database takes a while, and tells of the moment in which it began."""

from __future__ import annotations

import asyncio
import threading

import pytest

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.jobs import JobState

from .conftest import ended, spec


class SlowToLook(DurableQueue):
    """Looks, and is slow to tell, when a test says so."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.slow = self.taken_for_dead = False
        self.has_looked, self.tells = threading.Event(), threading.Event()
        self.told, self.given_again = asyncio.Event(), asyncio.Event()

    def _look_up(self, job_ids):
        slow, self.slow = self.slow, False  # a look that has begun stays as it is
        if slow and self.taken_for_dead:
            self._runtime.recover(self._runtime.executor)
        seen = super()._look_up(job_ids)
        if slow:
            self.has_looked.set()
            assert self.tells.wait(60)
        return seen

    async def _do(self, job_id, document):
        if job_id in self._works:
            asyncio.get_running_loop().call_soon(self.given_again.set)
        return await super()._do(job_id, document)

    def _found(self, job_id, entry):
        super()._found(job_id, entry)
        if self.tells.is_set():
            self.told.set()


@pytest.fixture(params=[1])
async def slow(request, folder, workshop, opened):
    """A queue whose looks are slow; how many jobs it does at a time."""
    pace, draft = {"polling": 0.3, "lost": 3600}, {"draft": request.param}
    queue = await opened(folder, workshop, SlowToLook, pace, concurrency=draft)
    yield queue
    queue.tells.set()


async def test_a_job_that_begins_while_the_queue_looks_is_not_forgotten(slow, workshop):
    """It was queued in the database, and running when that was told: nobody took it from us."""
    first = await slow.submit(spec(hold="first"))
    await workshop.begun[first.id].wait()
    second = await slow.submit(spec(hold="second"))
    slow.slow = True
    watching = asyncio.ensure_future(ended(slow, second))
    assert await asyncio.to_thread(slow.has_looked.wait, 60)
    workshop.gates["first"].set()
    await workshop.begun[second.id].wait()
    slow.tells.set()
    await slow.told.wait()  # what was seen, before the job ends
    workshop.gates["second"].set()
    assert (await asyncio.wait_for(watching, 60)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("slow", [2], indirect=True)
async def test_a_job_that_comes_back_while_the_queue_looks_is_ended_once(slow, workshop):
    """Others took us for dead: it was queued in the database, and ours again when that was told."""
    job = await slow.submit(spec(hold="gate", fail="on purpose"))
    await workshop.begun[job.id].wait()
    slow.slow = slow.taken_for_dead = True
    assert await asyncio.to_thread(slow.has_looked.wait, 60)
    await slow.given_again.wait()
    slow.tells.set()
    await slow.told.wait()  # what was seen, before the job ends
    workshop.gates["gate"].set()
    assert (await ended(slow, job)).state is JobState.FAILED
    assert workshop.calls == [job.id]
