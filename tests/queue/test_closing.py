"""However a queue ends, and in whatever moment: nothing of it is left, and its errors are ours."""

from __future__ import annotations

import asyncio
import threading

import pytest

from storycore_tts.adapters.queue import DurableQueue, Intervals
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import JobState
from storycore_tts.errors import StorageFailed

from .conftest import FAST, ended, nothing_is_left, spec, traces, until

SITE = BackendEndpoint("http://gpu:8188")


class Gated(DurableQueue):
    """Stands still in a thread, before it does what ``held`` names."""

    held = ""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.reached, self.released = threading.Event(), threading.Event()

    def _stand_still(self, here):
        if self.held == here:
            self.reached.set()
            assert self.released.wait(60)

    def _open(self):
        super()._open()
        self._stand_still("open")

    def _shut(self):
        self._stand_still("shut")
        super()._shut()

    async def is_reached(self):
        assert await asyncio.to_thread(self.reached.wait, 60)


def gated(place, held=""):
    queue = Gated(**place, concurrency={"draft": 2}, intervals=Intervals(**FAST))
    queue.held = held
    return queue


async def some_steps():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
async def before():
    """What there is before the queue."""
    await asyncio.to_thread(int)
    return traces()


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_a_start_that_is_given_up_leaves_nothing(place, workshop, before, how):
    queue = gated(place, "open")
    starting = asyncio.ensure_future(queue.start(workshop))
    await queue.is_reached()
    closing = asyncio.ensure_future(queue.aclose()) if how == "closed" else None
    for reason in ("by the caller", "again"):
        if closing is None:
            starting.cancel(reason)
        await some_steps()
    assert not starting.done()
    queue.released.set()
    if closing is None:
        with pytest.raises(asyncio.CancelledError):
            await starting
    else:
        await closing
        with pytest.raises(StorageFailed, match="not open"):
            await starting
    await nothing_is_left(before)


async def test_a_close_that_is_cancelled_closes_all_the_same(place, workshop, before):
    queue = gated(place, "shut")
    await queue.start(workshop)
    job = await queue.submit(spec(hold="gate"))
    await workshop.begun[job.id].wait()
    closing = asyncio.ensure_future(queue.aclose())
    await queue.is_reached()
    closing.cancel("by the caller")
    another = asyncio.ensure_future(queue.aclose())
    await some_steps()
    assert not closing.done()
    assert not another.done()  # who closes it too may rely on that it is closed
    queue.released.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await another
    await nothing_is_left(before)


def test_a_loop_that_ends_while_the_queue_closes_leaves_nothing(tmp_path, workshop):
    """``asyncio.run`` cancels all tasks, those among them that close."""
    threads = {*threading.enumerate()}

    async def main():
        queue = gated({"state_dir": tmp_path}, "shut")
        await queue.start(workshop)
        job = await queue.submit(spec(hold="gate"))
        await workshop.begun[job.id].wait()
        closing.append(asyncio.ensure_future(queue.aclose()))
        await queue.is_reached()
        threading.Timer(0.1, queue.released.set).start()

    closing = []
    asyncio.run(main())
    assert closing[0].cancelled()
    assert {*threading.enumerate()} - threads == set()


async def test_what_is_asked_while_it_closes_is_answered_or_refused(folder, workshop, before):
    """Much of it takes two looks at the database, and the queue is closed between them."""
    queue = gated(folder)
    await queue.start(workshop)
    job = await ended(queue, await queue.submit(spec()))
    held = await queue.submit(spec(hold="gate"))
    await workshop.begun[held.id].wait()

    async def on_and_on(ask):
        while True:
            await ask()
            await asyncio.sleep(0)

    asking = [
        asyncio.ensure_future(on_and_on(ask))
        for ask in (
            lambda: queue.cancel("ann", held.id),
            lambda: queue.audio("ann", job.id),
            lambda: queue.affinities.find(held.id),
            lambda: queue.affinities.note(held.id, SITE),
            lambda: ended(queue, job),
        )
    ]
    await some_steps()
    await queue.aclose()
    for error in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(error, StorageFailed), repr(error)
        assert "not open" in error.message
    await nothing_is_left(before)


async def test_a_handler_that_asks_after_the_end_is_refused(folder, opened, before):
    """It was told to end, did not, and goes on when the queue is closed."""
    goes_on, told = asyncio.Event(), asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def deaf(job_id, spec, report):
        begun.set()
        while not goes_on.is_set():
            try:
                await goes_on.wait()
            except asyncio.CancelledError:
                continue
        try:
            await queue.affinities.find(job_id)
        except BaseException as error:  # whatever it is
            told.set_result(error)
            raise

    queue = await opened(folder, deaf, intervals={"stop": 0.1})
    await queue.submit(spec())
    await begun.wait()
    await queue.aclose()
    goes_on.set()
    assert isinstance(await asyncio.wait_for(told, 30), StorageFailed)
    await nothing_is_left(before)


async def test_watchers_are_told_as_soon_as_it_closes(folder, workshop, before):
    queue = gated(folder, "shut")
    await queue.start(workshop)
    job = await queue.submit(spec(hold="gate"))
    watcher = asyncio.ensure_future(ended(queue, job))
    await until(queue, job, lambda state: state.state is JobState.RUNNING)
    closing = asyncio.ensure_future(queue.aclose())
    with pytest.raises(StorageFailed, match="not open"):
        await asyncio.wait_for(watcher, 30)
    assert not closing.done()
    queue.released.set()
    await closing
    await nothing_is_left(before)


async def test_a_closed_or_unopened_queue_says_so(folder, workshop):
    async def check(queue):
        for ask in (
            lambda: queue.submit(spec()),
            lambda: queue.get("ann", "x"),
            queue.counts,
            lambda: queue.jobs("ann"),
            lambda: queue.uploads.put("ann", b"x"),
            lambda: queue.uploads.get("ann", "x"),
        ):
            with pytest.raises(StorageFailed, match="not open"):
                await ask()

    unopened = gated(folder)
    await check(unopened)
    await unopened.aclose()
    with pytest.raises(StorageFailed):
        await unopened.start(workshop)
    queue = gated(folder)
    await queue.start(workshop)
    await queue.aclose()
    await check(queue)


async def test_a_queue_starts_once_and_a_process_may_have_several(
    folder, tmp_path, workshop, opened
):
    first = await opened(folder, workshop)
    with pytest.raises(StorageFailed, match="already"):
        await first.start(workshop)
    with pytest.raises(StorageFailed, match="uses the folder"):
        await opened(folder, workshop)
    second = await opened({"state_dir": tmp_path / "other"}, workshop)
    for queue in (first, second):
        assert (await ended(queue, await queue.submit(spec()))).state is JobState.SUCCEEDED
    for _ in range(2):
        await first.aclose()
    third = await opened(folder, workshop)
    assert (await ended(third, await third.submit(spec()))).state is JobState.SUCCEEDED
