import asyncio

import pytest

from storycore_tts.domain.errors import BackendOverloaded
from storycore_tts.services.capacity import Capacity


class Crowd:
    """Tasks that hold a place until they are told to leave it."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.inside = self.most_inside = 0
        self.leave = asyncio.Event()

    async def visit(self, **how):
        async with self.capacity.place(**how):
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            await self.leave.wait()
            self.inside -= 1

    async def grown_to(self, inside, waiting):
        while (self.inside, self.capacity.waiting) != (inside, waiting):
            await asyncio.sleep(0)


async def test_no_more_than_so_many_are_inside():
    crowd = Crowd(Capacity("draft", concurrency=3, max_waiting=20))
    visits = [asyncio.ensure_future(crowd.visit()) for _ in range(20)]
    await crowd.grown_to(3, 17)
    crowd.leave.set()
    await asyncio.gather(*visits)
    assert crowd.most_inside == 3
    assert crowd.capacity.waiting == 0


async def test_who_comes_when_too_many_wait_is_sent_away():
    crowd = Crowd(Capacity("draft", concurrency=1, max_waiting=1))
    visits = [asyncio.ensure_future(crowd.visit()) for _ in range(2)]
    await crowd.grown_to(1, 1)
    with pytest.raises(BackendOverloaded, match="1 requests wait for draft") as refused:
        await crowd.visit()
    assert refused.value.retry_after > 0
    patient = asyncio.ensure_future(crowd.visit(patient=True))
    await crowd.grown_to(1, 2)
    crowd.leave.set()
    await asyncio.gather(*visits, patient)


async def test_a_visitor_who_gives_up_takes_no_place():
    crowd = Crowd(Capacity("draft", concurrency=1, max_waiting=5))
    first, second = (asyncio.ensure_future(crowd.visit()) for _ in range(2))
    await crowd.grown_to(1, 1)
    second.cancel()
    await crowd.grown_to(1, 0)
    crowd.leave.set()
    await first
    await crowd.visit()  # a place is free: nobody waits


async def test_a_place_that_is_free_is_given_although_nobody_may_wait():
    crowd = Crowd(Capacity("draft", concurrency=1, max_waiting=0))
    crowd.leave.set()
    await crowd.visit()
    await crowd.visit()
