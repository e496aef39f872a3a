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
from storycore_tts.adapters.direct.speech_jobs import PoolCall, SpeechJob, StreamedPiece

from .conftest import line, outcome


async def thread_ended(pool):
    await asyncio.wait_for(asyncio.to_thread(pool._thread.join), 30)


def must_not_begin():
    pytest.fail("it was cancelled, or the pool closed")


# What is spoken together, and when


async def test_lines_that_wait_share_a_batch_and_hear_their_place(workshop):
    workshop.pool(batch=3)
    jobs = [await workshop.speaking_one("first")]
    jobs += [workshop.submit("x" * length) for length in (1, 2, 3, 4)]
    (news,) = await jobs[2].heard()
    assert news.queue_position == 2
    workshop.speaking.open()
    for job in jobs:
        await outcome(job)
    assert workshop.spoken == [["first"], ["xxx", "xx", "x"], ["xxxx"]]


async def test_a_batch_waits_for_its_window_or_until_it_is_full(workshop):
    workshop.pool(batch=3, window=5.0)
    for job in [workshop.submit() for _ in range(3)]:
        await outcome(job)  # full: the clock did not move
    jobs = [workshop.submit()]
    await workshop.clock.until_waited_for(5.0)
    workshop.clock.advance(3.0)
    jobs.append(workshop.submit())
    await workshop.clock.until_waited_for(2.0)
    workshop.clock.advance(2.0)
    assert [(await outcome(job)).queued for job in jobs] == [5.0, 2.0]
    assert [len(texts) for texts in workshop.spoken] == [3, 2]


async def test_a_seeded_line_is_spoken_alone_and_at_once(workshop):
    workshop.pool(window=30.0)
    jobs = [workshop.submit(sampling=Sampling(seed=7)) for _ in range(3)]
    assert [(await outcome(job)).seed for job in jobs] == [7, 7, 7]
    assert [len(texts) for texts in workshop.spoken] == [1, 1, 1]


async def test_fresh_seeds_differ_and_are_recorded(workshop):
    workshop.pool()
    seeds = [(await workshop.say()).seed for _ in range(3)]
    assert seeds == [seed for _, _, seed in workshop.batches]
    assert len(set(seeds)) == 3


async def test_models_take_turns(workshop):
    """No model waits without end, and what waits for one is spoken in one turn."""
    workshop.pool(batch=1)
    jobs = [await workshop.speaking_one("1")]
    jobs += [workshop.submit(text, name) for text, name in ("2b", "3a", "4b")]
    workshop.speaking.open()
    for job in jobs:
        await outcome(job)
    assert workshop.used == ["a", "b", "b", "a"]


async def test_pools_take_turns(workshop):
    one, other = workshop.pool(batch=1), workshop.pool()
    jobs = [await workshop.speaking_one(pool=one)]
    jobs.append(workshop.submit("2", "b", pool=other))
    await workshop.until_wanted()
    jobs.append(workshop.submit(pool=one))
    workshop.speaking.open()
    for job in jobs:
        await outcome(job)
    assert workshop.used == ["a", "b", "a"]


# Which models are in memory


async def test_the_least_recently_used_model_makes_room_and_a_wanted_one_last(workshop):
    pool = workshop.pool(models=2)
    for name in "abac":
        await workshop.say("Hello.", name)
    assert workshop.most_loaded == 2
    assert {key.checkpoint.name for key in pool.loaded} == {"a", "c"}
    with workshop.turn.taken():
        jobs = [workshop.submit("Hello.", name) for name in "ba"]  # a is the less recently used
    for job in jobs:
        await outcome(job)
    assert [len(workshop.engines[name]) for name in "abc"] == [1, 2, 1]


async def test_a_checkpoint_that_was_written_anew_is_loaded_anew(workshop):
    workshop.pool()
    for version in (1, 1, 2):
        await workshop.say(version=version)
    assert len(workshop.engines["a"]) == 2


async def test_an_unused_model_and_the_thread_go(workshop):
    pool = workshop.pool(idle=60.0)
    await workshop.say()
    await workshop.clock.until_waited_for(60.0)
    workshop.clock.advance(59.0)
    await workshop.say()  # used again, it stays for another minute
    await workshop.clock.until_waited_for(60.0)
    assert workshop.loaded == 1
    workshop.clock.advance(60.0)
    await thread_ended(pool)
    assert workshop.loaded == 0
    await workshop.say()
    assert len(workshop.engines["a"]) == 2


async def test_a_model_that_is_wanted_again_is_not_unloaded(workshop):
    """It had been idle for too long, and waited for its turn to be unloaded, when a line came."""
    workshop.pool(idle=60.0)
    await workshop.say()
    await workshop.clock.until_waited_for(60.0)
    with workshop.turn.taken():
        workshop.clock.advance(60.0)
        await workshop.until_wanted()
        again = workshop.submit()
    await outcome(again)
    assert len(workshop.engines["a"]) == 1


async def test_a_model_that_must_not_stay_does_while_a_line_waits_for_it(workshop):
    pool = workshop.pool(models=2, keep=False)
    jobs = [await workshop.speaking_one()]
    jobs += [workshop.submit("Hello.", name) for name in "ba"]
    workshop.speaking.open()
    for job in jobs:
        await outcome(job)
    await thread_ended(pool)
    assert workshop.used == ["a", "b", "a"]
    assert len(workshop.engines["a"]) == 1
    assert workshop.loaded == 0


# What goes wrong


@pytest.mark.parametrize("seed", [None, 2**64 - 1])
async def test_a_runaway_is_tried_once_more(workshop, seed):
    workshop.pool()
    workshop.runaways = 1
    spoken = await workshop.say(sampling=Sampling(seed=seed))
    first, second = [seed for _, _, seed in workshop.batches]
    assert spoken.seed == second == (second if seed is None else 0)
    assert len(spoken.warnings) == 1
    assert str(first) in spoken.warnings[0]


async def test_the_second_runaway_is_raised(workshop):
    workshop.pool()
    workshop.runaways = 2
    with pytest.raises(RunawayGeneration) as raised:
        await workshop.say()
    assert raised.value.partial_duration == 1.5
    assert not raised.value.retryable  # it had both of its tries
    assert len(workshop.batches) == 2


async def test_an_unforeseen_error_reaches_the_caller_and_stops_nothing(workshop):
    workshop.pool()
    workshop.errors = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await workshop.say()
    await workshop.say()


async def test_a_batch_that_does_not_fit_is_halved_once(workshop):
    workshop.pool(window=1.0)
    workshop.errors = [OutOfMemory("no memory")]
    jobs = [workshop.submit(text) for text in "abcd"]
    spoken = await asyncio.gather(*map(outcome, jobs))
    assert [len(texts) for texts in workshop.spoken] == [4, 2, 2]
    assert all("4 line(s) at once; spoken again, 2" in one.warnings[0] for one in spoken)


async def test_a_half_that_does_not_fit_either_fails_alone(workshop):
    workshop.pool(window=1.0)
    workshop.errors = [OutOfMemory("no memory"), OutOfMemory("no memory")]
    jobs = [workshop.submit(text) for text in "abcd"]
    ends = await asyncio.gather(*map(outcome, jobs), return_exceptions=True)
    assert [type(end) for end in ends].count(OutOfMemory) == 2
    assert [len(texts) for texts in workshop.spoken] == [4, 2, 2]


# Leaving and closing


async def test_a_cancelled_line_is_dropped_at_once_and_never_spoken(workshop):
    """Clients that time out and ask again during a training would fill the memory otherwise."""
    pool = workshop.pool()
    first = await workshop.speaking_one("first")
    unwanted = workshop.submit("unwanted", "b")
    unwanted.cancel()
    dropped = weakref.ref(unwanted)
    del unwanted
    gc.collect()
    assert dropped() is None
    assert (pool.length, len(pool._models)) == (1, 1)
    last = workshop.submit("last")
    workshop.speaking.open()
    await outcome(first)
    await outcome(last)
    assert workshop.spoken == [["first"], ["last"]]


async def test_a_line_that_is_cancelled_while_its_model_loads_is_not_spoken(workshop):
    workshop.pool()
    workshop.loading.close()
    job = workshop.submit()
    await workshop.loading.reached()
    job.cancel()
    workshop.loading.open()
    await workshop.say("another")
    assert workshop.spoken == [["another"]]


@pytest.mark.parametrize("moment", ["loading", "speaking"])
async def test_closing_ends_what_waits_and_the_thread(workshop, moment):
    pool, gate, training = workshop.pool(), getattr(workshop, moment), PoolCall()
    gate.close()
    jobs = [workshop.submit()]
    await gate.reached()
    jobs.append(workshop.submit())
    pool.submit_exclusive(training, must_not_begin)
    closing = [asyncio.ensure_future(asyncio.to_thread(pool.close)) for _ in range(2)]
    for call in (*jobs, training):
        with pytest.raises(BackendUnavailable, match="closed"):
            await outcome(call)
    gate.open()
    await asyncio.gather(*closing)
    assert not pool._thread.is_alive()
    assert workshop.loaded == 0
    assert len(workshop.batches) == (moment == "speaking")
    for late in (workshop.submit, lambda: pool.submit_exclusive(training, must_not_begin)):
        with pytest.raises(BackendUnavailable, match="closed"):
            late()


async def test_closing_waits_for_no_other_pool(workshop):
    """Not for what it speaks, which may be minutes, nor for what it trains, which may be hours."""
    speaking, waiting = workshop.pool(), workshop.pool()
    await workshop.say("Hello.", "b")
    await workshop.speaking.reached()
    job = await workshop.speaking_one(pool=speaking)
    late = workshop.submit("Hello.", "b")
    await workshop.until_wanted()
    await asyncio.wait_for(asyncio.to_thread(waiting.close), 30)
    with pytest.raises(BackendUnavailable, match="closed"):
        await outcome(late)
    assert workshop.loaded == 1
    assert not workshop.turn.is_wanted()
    workshop.speaking.open()
    await outcome(job)


async def test_exclusive_work_has_the_device_for_itself(workshop):
    pool, call = workshop.pool(), PoolCall()
    await workshop.say("before")
    await workshop.speaking.reached()
    workshop.speaking.close()
    threads = set(threading.enumerate())
    pool.submit_exclusive(call, lambda: workshop.speaking.pass_through() or workshop.loaded)
    await workshop.speaking.reached()
    meanwhile = workshop.submit("meanwhile")
    (news,) = await meanwhile.heard()
    assert news.queue_position == 1
    assert not any("direct" in thread.name for thread in set(threading.enumerate()) - threads)
    assert workshop.spoken == [["before"]]
    workshop.speaking.open()
    assert await outcome(call) == 0
    await outcome(meanwhile)


async def test_cancelled_exclusive_work_leaves_the_line_for_the_turn(workshop):
    """Its thread ends at once, though another pool may train for hours."""
    pool, call = workshop.pool(), PoolCall()
    with workshop.turn.taken():
        pool.submit_exclusive(call, must_not_begin)
        await workshop.until_wanted()
        call.cancel()
        await thread_ended(pool)
        assert not workshop.turn.is_wanted()


# News that the caller does not read


async def test_unread_progress_is_bounded_and_pieces_are_kept():
    job, piece = SpeechJob(line(), streamed=True), StreamedPiece(np.ones(8, np.float32), 1, ())
    job.tell(piece)
    for number in range(5000):
        job.tell(Progress(Stage.TRAINING, step=number))
    job.tell(piece)
    news = await job.heard()
    assert len(news) <= 1001
    assert (news[0], news[-1]) == (piece, piece)
    assert news[-2].step == 4999


def test_the_thread_outlives_the_event_loop_that_was_closed(workshop):
    """A loop that is closed without cancelling its tasks takes its jobs with it, and no others."""
    workshop.pool()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(workshop.speaking_one("abandoned"))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    workshop.speaking.open()
    assert asyncio.run(workshop.say("next")).seed >= 0
