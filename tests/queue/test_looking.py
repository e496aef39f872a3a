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


class Held(DurableQueue):
    """Stands still in a thread, before it cancels or after it claimed, when a test says so."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.held = ""
        self.reached, self.released = asyncio.Event(), threading.Event()
        self.seen = asyncio.Event()
        claim, cancel = self._claims.claim, self._repository.cancel

        def slow_claim(room):
            if found := claim(room):
                self._stand_still("claim")
            return found

        def slow_cancel(*arguments):
            self._stand_still("cancel")
            return cancel(*arguments)

        self._claims.claim, self._repository.cancel = slow_claim, slow_cancel

    def _stand_still(self, here):
        if self.held == here:
            self._loop.call_soon_threadsafe(self.reached.set)
            assert self.released.wait(60)

    async def start(self, perform):
        self._loop = asyncio.get_running_loop()
        await super().start(perform)

    def _found(self, job_id, standing):
        super()._found(job_id, standing)
        if standing is not None and standing.attempt == 2:
            self.seen.set()


async def test_a_job_that_is_seen_to_be_claimed_again_before_the_claim_is_told_goes_on(
    folder, workshop, opened
):
    queue = await opened(folder, workshop, Held, {"look": 0.05})
    job = await queue.submit(spec(hold="gate"))
    await workshop.begun[job.id].wait()
    queue.held = "claim"
    await queue.in_thread(queue._claims.requeue)
    await queue.reached.wait()
    await queue.seen.wait()
    queue.released.set()
    workshop.gates["gate"].set()
    assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert workshop.calls == [job.id]


async def test_a_job_that_begins_while_it_is_cancelled_is_stopped_at_once(folder, workshop, opened):
    queue = await opened(folder, workshop, Held, {"look": 3600}, concurrency={"draft": 1})
    first = await queue.submit(spec(hold="first"))
    await workshop.begun[first.id].wait()
    second = await queue.submit(spec(hold="second"))
    queue.held = "cancel"
    cancelling = asyncio.ensure_future(queue.cancel("ann", second.id))
    await queue.reached.wait()
    workshop.gates["first"].set()
    await workshop.begun[second.id].wait()
    queue.released.set()
    assert (await cancelling).state is JobState.CANCELLED
    await workshop.ended[second.id].wait()
    assert workshop.cancelled[second.id] == ("cancelled",)
