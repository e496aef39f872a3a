"""A look at the database takes a while, and tells of the moment in which it began."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.jobs import JobState

from .conftest import ended, spec


class SlowToLook(DurableQueue):
    """Looks, and is slow to tell, when a test says so."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.slow = self.taken_for_dead = False
        self.has_looked, self.tells = asyncio.Event(), asyncio.Event()
        self.told, self.claimed_again = asyncio.Event(), asyncio.Event()

    async def _look(self, job_ids):
        slow, self.slow = self.slow, False
        if slow and self.taken_for_dead:
            await self.in_thread(self._claims.requeue)
        seen = await super()._look(job_ids)
        if slow:
            self.has_looked.set()
            await self.tells.wait()
        return seen

    def _begin(self, claim):
        if claim.job_id in self._works:
            self.claimed_again.set()
        super()._begin(claim)

    def _found(self, job_id, standing):
        super()._found(job_id, standing)
        if self.tells.is_set():
            self.told.set()


@pytest.fixture(params=[1])
async def slow(request, folder, workshop, opened):
    """A queue whose looks are slow; how many jobs it does at a time."""
    return await opened(folder, workshop, SlowToLook, concurrency={"draft": request.param})


async def test_a_job_that_begins_while_the_queue_looks_is_not_forgotten(slow, workshop):
    """It was queued in the database, and running when that was told: no process took it from us."""
    first = await slow.submit(spec(hold="first"))
    await workshop.begun[first.id].wait()
    second = await slow.submit(spec(hold="second"))
    slow.slow = True
    watching = asyncio.ensure_future(ended(slow, second))
    await slow.has_looked.wait()
    workshop.gates["first"].set()
    await workshop.begun[second.id].wait()
    slow.tells.set()
    await slow.told.wait()  # what was seen, before the job ends
    workshop.gates["second"].set()
    assert (await watching).state is JobState.SUCCEEDED
    assert workshop.calls == [first.id, second.id]


@pytest.mark.parametrize("slow", [2], indirect=True)
async def test_a_job_that_comes_back_while_the_queue_looks_is_ended_once(slow, workshop):
    """Others took us for dead: it was queued in the database, and ours again when that was told."""
    job = await slow.submit(spec(hold="gate", fail="on purpose"))
    await workshop.begun[job.id].wait()
    slow.slow = slow.taken_for_dead = True
    await slow.has_looked.wait()
    await slow.claimed_again.wait()
    slow.tells.set()
    await slow.told.wait()  # what was seen, before the job ends
    workshop.gates["gate"].set()
    assert (await ended(slow, job)).state is JobState.FAILED
    assert workshop.calls == [job.id]
