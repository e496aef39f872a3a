"""What a pool of models promises, with engines and a clock that do what the test says."""

import asyncio
import gc
import threading
import weakref

import numpy as np
import pytest

from storycore_tts import (
    BackendUnavailable,
    OutOfMemory,
    Progress,
    RunawayGeneration,
    Sampling,
    Stage,
)
from storycore_tts.adapters.direct.jobs import Call, Job, Piece

from .conftest import line, outcome


async def thread_ended(pool):
    await asyncio.wait_for(asyncio.to_thread(pool._thread.join), 30)


def must_not_begin():
    pytest.fail("it was cancelled, or the pool closed")


# What is spoken together, and when


async def test_lines_that_wait_share_a_batch_and_hear_their_place(studio):
    studio.pool(batch=3)
    jobs = [await studio.speaking_one("first")]
    jobs += [studio.submit("x" * length) for length in (1, 2, 3, 4)]
    (news,) = await jobs[2].heard()
    assert news.queue_position == 2
    studio.speaking.open()
    for job in jobs:
        await outcome(job)
    assert studio.spoken == [["first"], ["xxx", "xx", "x"], ["xxxx"]]


async def test_a_batch_waits_for_its_window_or_until_it_is_full(studio):
    studio.pool(batch=3, window=5.0)
    for job in [studio.submit() for _ in range(3)]:
        await outcome(job)  # full: the clock did not move
    jobs = [studio.submit()]
    await studio.clock.until_waited_for(5.0)
    studio.clock.advance(3.0)
    jobs.append(studio.submit())
    await studio.clock.until_waited_for(2.0)
    studio.clock.advance(2.0)
    assert [(await outcome(job)).queued for job in jobs] == [5.0, 2.0]
    assert [len(texts) for texts in studio.spoken] == [3, 2]


async def test_a_seeded_line_is_spoken_alone_and_at_once(studio):
    studio.pool(window=30.0)
    jobs = [studio.submit(sampling=Sampling(seed=7)) for _ in range(3)]
    assert [(await outcome(job)).seed for job in jobs] == [7, 7, 7]
    assert [len(texts) for texts in studio.spoken] == [1, 1, 1]


async def test_fresh_seeds_differ_and_are_recorded(studio):
    studio.pool()
    seeds = [(await studio.say()).seed for _ in range(3)]
    assert seeds == [seed for _, _, seed in studio.batches]
    assert len(set(seeds)) == 3


async def test_models_take_turns(studio):
    """No model waits without end, and what waits for one is spoken in one turn."""
    studio.pool(batch=1)
    jobs = [await studio.speaking_one("1")]
    jobs += [studio.submit(text, name) for text, name in ("2b", "3a", "4b")]
    studio.speaking.open()
    for job in jobs:
        await outcome(job)
    assert studio.used == ["a", "b", "b", "a"]


async def test_pools_take_turns(studio):
    one, other = studio.pool(batch=1), studio.pool()
    jobs = [await studio.speaking_one(pool=one)]
    jobs.append(studio.submit("2", "b", pool=other))
    await studio.until_wanted()
    jobs.append(studio.submit(pool=one))
    studio.speaking.open()
    for job in jobs:
        await outcome(job)
    assert studio.used == ["a", "b", "a"]


# Which models are in memory


async def test_the_least_recently_used_model_makes_room_and_a_wanted_one_last(studio):
    pool = studio.pool(models=2)
    for name in "abac":
        await studio.say("Hello.", name)
    assert studio.most_loaded == 2
    assert {key.checkpoint.name for key in pool.loaded} == {"a", "c"}
    with studio.turn.taken():
        jobs = [studio.submit("Hello.", name) for name in "ba"]  # a is the less recently used
    for job in jobs:
        await outcome(job)
    assert [len(studio.engines[name]) for name in "abc"] == [1, 2, 1]


async def test_a_checkpoint_that_was_written_anew_is_loaded_anew(studio):
    studio.pool()
    for version in (1, 1, 2):
        await studio.say(version=version)
    assert len(studio.engines["a"]) == 2


async def test_an_unused_model_and_the_thread_go(studio):
    pool = studio.pool(idle=60.0)
    await studio.say()
    await studio.clock.until_waited_for(60.0)
    studio.clock.advance(59.0)
    await studio.say()  # used again, it stays for another minute
    await studio.clock.until_waited_for(60.0)
    assert studio.loaded == 1
    studio.clock.advance(60.0)
    await thread_ended(pool)
    assert studio.loaded == 0
    await studio.say()
    assert len(studio.engines["a"]) == 2


async def test_a_model_that_is_wanted_again_is_not_unloaded(studio):
    """It had been idle for too long, and waited for its turn to be unloaded, when a line came."""
    studio.pool(idle=60.0)
    await studio.say()
    await studio.clock.until_waited_for(60.0)
    with studio.turn.taken():
        studio.clock.advance(60.0)
        await studio.until_wanted()
        again = studio.submit()
    await outcome(again)
    assert len(studio.engines["a"]) == 1


async def test_a_model_that_must_not_stay_does_while_a_line_waits_for_it(studio):
    pool = studio.pool(models=2, keep=False)
    jobs = [await studio.speaking_one()]
    jobs += [studio.submit("Hello.", name) for name in "ba"]
    studio.speaking.open()
    for job in jobs:
        await outcome(job)
    await thread_ended(pool)
    assert studio.used == ["a", "b", "a"]
    assert len(studio.engines["a"]) == 1
    assert studio.loaded == 0


# What goes wrong


@pytest.mark.parametrize("seed", [None, 2**64 - 1])
async def test_a_runaway_is_tried_once_more(studio, seed):
    studio.pool()
    studio.runaways = 1
    spoken = await studio.say(sampling=Sampling(seed=seed))
    first, second = [seed for _, _, seed in studio.batches]
    assert spoken.seed == second == (second if seed is None else 0)
    assert len(spoken.warnings) == 1
    assert str(first) in spoken.warnings[0]


async def test_the_second_runaway_is_raised(studio):
    studio.pool()
    studio.runaways = 2
    with pytest.raises(RunawayGeneration) as raised:
        await studio.say()
    assert raised.value.partial_duration == 1.5
    assert not raised.value.retryable  # it had both of its tries
    assert len(studio.batches) == 2


async def test_an_unforeseen_error_reaches_the_caller_and_stops_nothing(studio):
    studio.pool()
    studio.errors = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await studio.say()
    await studio.say()


async def test_a_batch_that_does_not_fit_is_halved_once(studio):
    studio.pool(window=1.0)
    studio.errors = [OutOfMemory("no memory")]
    jobs = [studio.submit(text) for text in "abcd"]
    spoken = await asyncio.gather(*map(outcome, jobs))
    assert [len(texts) for texts in studio.spoken] == [4, 2, 2]
    assert all("4 line(s) at once; spoken again, 2" in one.warnings[0] for one in spoken)


async def test_a_half_that_does_not_fit_either_fails_alone(studio):
    studio.pool(window=1.0)
    studio.errors = [OutOfMemory("no memory"), OutOfMemory("no memory")]
    jobs = [studio.submit(text) for text in "abcd"]
    ends = await asyncio.gather(*map(outcome, jobs), return_exceptions=True)
    assert [type(end) for end in ends].count(OutOfMemory) == 2
    assert [len(texts) for texts in studio.spoken] == [4, 2, 2]


# Leaving and closing


async def test_a_cancelled_line_is_dropped_at_once_and_never_spoken(studio):
    """Clients that time out and ask again during a training would fill the memory otherwise."""
    pool = studio.pool()
    first = await studio.speaking_one("first")
    unwanted = studio.submit("unwanted", "b")
    unwanted.cancel()
    dropped = weakref.ref(unwanted)
    del unwanted
    gc.collect()
    assert dropped() is None
    assert (pool.length, len(pool._models)) == (1, 1)
    last = studio.submit("last")
    studio.speaking.open()
    await outcome(first)
    await outcome(last)
    assert studio.spoken == [["first"], ["last"]]


async def test_a_line_that_is_cancelled_while_its_model_loads_is_not_spoken(studio):
    studio.pool()
    studio.loading.close()
    job = studio.submit()
    await studio.loading.reached()
    job.cancel()
    studio.loading.open()
    await studio.say("another")
    assert studio.spoken == [["another"]]


@pytest.mark.parametrize("moment", ["loading", "speaking"])
async def test_closing_ends_what_waits_and_the_thread(studio, moment):
    pool, gate, training = studio.pool(), getattr(studio, moment), Call()
    gate.close()
    jobs = [studio.submit()]
    await gate.reached()
    jobs.append(studio.submit())
    pool.submit_exclusive(training, must_not_begin)
    closing = [asyncio.ensure_future(asyncio.to_thread(pool.close)) for _ in range(2)]
    for call in (*jobs, training):
        with pytest.raises(BackendUnavailable, match="closed"):
            await outcome(call)
    gate.open()
    await asyncio.gather(*closing)
    assert not pool._thread.is_alive()
    assert studio.loaded == 0
    assert len(studio.batches) == (moment == "speaking")
    for late in (studio.submit, lambda: pool.submit_exclusive(training, must_not_begin)):
        with pytest.raises(BackendUnavailable, match="closed"):
            late()


async def test_closing_waits_for_no_other_pool(studio):
    """Not for what it speaks, which may be minutes, nor for what it trains, which may be hours."""
    speaking, waiting = studio.pool(), studio.pool()
    await studio.say("Hello.", "b")
    await studio.speaking.reached()
    job = await studio.speaking_one(pool=speaking)
    late = studio.submit("Hello.", "b")
    await studio.until_wanted()
    await asyncio.wait_for(asyncio.to_thread(waiting.close), 30)
    with pytest.raises(BackendUnavailable, match="closed"):
        await outcome(late)
    assert studio.loaded == 1
    assert not studio.turn.is_wanted()
    studio.speaking.open()
    await outcome(job)


async def test_exclusive_work_has_the_device_for_itself(studio):
    pool, call = studio.pool(), Call()
    await studio.say("before")
    await studio.speaking.reached()
    studio.speaking.close()
    threads = set(threading.enumerate())
    pool.submit_exclusive(call, lambda: studio.speaking.pass_through() or studio.loaded)
    await studio.speaking.reached()
    meanwhile = studio.submit("meanwhile")
    (news,) = await meanwhile.heard()
    assert news.queue_position == 1
    assert not any("direct" in thread.name for thread in set(threading.enumerate()) - threads)
    assert studio.spoken == [["before"]]
    studio.speaking.open()
    assert await outcome(call) == 0
    await outcome(meanwhile)


async def test_cancelled_exclusive_work_leaves_the_line_for_the_turn(studio):
    """Its thread ends at once, though another pool may train for hours."""
    pool, call = studio.pool(), Call()
    with studio.turn.taken():
        pool.submit_exclusive(call, must_not_begin)
        await studio.until_wanted()
        call.cancel()
        await thread_ended(pool)
        assert not studio.turn.is_wanted()


# News that the caller does not read


async def test_unread_progress_is_bounded_and_pieces_are_kept():
    job, piece = Job(line(), streamed=True), Piece(np.ones(8, np.float32), 1, ())
    job.tell(piece)
    for number in range(5000):
        job.tell(Progress(Stage.TRAINING, step=number))
    job.tell(piece)
    news = await job.heard()
    assert len(news) <= 1001
    assert (news[0], news[-1]) == (piece, piece)
    assert news[-2].step == 4999


def test_the_thread_outlives_the_event_loop_that_was_closed(studio):
    """A loop that is closed without cancelling its tasks takes its jobs with it, and no others."""
    studio.pool()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(studio.speaking_one("abandoned"))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    studio.speaking.open()
    assert asyncio.run(studio.say("next")).seed >= 0
