import asyncio

import pytest

from storycore_tts.errors import BackendOverloaded
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


async def test_so_many_are_inside_and_who_comes_when_too_many_wait_is_sent_away():
    crowd = Crowd(Capacity("draft", concurrency=3, max_waiting=17))
    visits = [asyncio.ensure_future(crowd.visit()) for _ in range(20)]
    await crowd.grown_to(3, 17)
    with pytest.raises(BackendOverloaded, match="waiting for draft: 17") as refused:
        await crowd.visit()
    assert refused.value.retry_after > 0
    patient = asyncio.ensure_future(crowd.visit(patient=True))
    await crowd.grown_to(3, 18)
    crowd.leave.set()
    await asyncio.gather(*visits, patient)
    assert (crowd.most_inside, crowd.capacity.waiting) == (3, 0)


async def test_a_visitor_who_gives_up_takes_no_place_and_a_free_one_is_given_at_once():
    crowd = Crowd(Capacity("draft", concurrency=1, max_waiting=1))
    first, second = (asyncio.ensure_future(crowd.visit()) for _ in range(2))
    await crowd.grown_to(1, 1)
    second.cancel()
    await crowd.grown_to(1, 0)
    crowd.leave.set()
    await first
    await crowd.visit()
    crowd.capacity = Capacity("draft", concurrency=1, max_waiting=0)  # nobody may wait
    await crowd.visit()
    await crowd.visit()


async def test_it_is_idle_when_nobody_works_and_nobody_waits():
    capacity = Capacity("draft", concurrency=2, max_waiting=1)
    assert capacity.idle
    async with capacity.place():
        assert not capacity.idle
    assert capacity.idle
