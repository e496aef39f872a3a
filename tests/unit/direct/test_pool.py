"""What a pool of models promises, with engines and a clock that do what the test says."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from storycore_tts import BackendUnavailable, Progress, RunawayGeneration, Sampling, Stage
from storycore_tts.adapters.direct.checkpoints import Checkpoint
from storycore_tts.adapters.direct.jobs import Call, Job, Line, Piece, Spoken
from storycore_tts.adapters.direct.pool import ModelKey, Pool

if TYPE_CHECKING:
    Studio = Any
    MakeLine = Callable[..., Line]


def model(name: str = "a", version: int = 1) -> ModelKey:
    return ModelKey(Checkpoint(name, "custom_voice"), version)


async def outcome(job: Call[Any]) -> Any:
    async def listen() -> None:
        while await job.heard():
            pass

    await asyncio.wait_for(listen(), 30)
    return job.result()


def submitted(pool: Pool, line: Line, key: ModelKey | None = None, **how: Any) -> Job:
    job = Job(line, **how)
    pool.submit(key or model(), job)
    return job


async def thread_ended(pool: Pool) -> None:
    assert pool._thread is not None
    await asyncio.wait_for(asyncio.to_thread(pool._thread.join), 30)


async def until_wanted(studio: Studio) -> None:
    """Wait until a thread waits for the turn that another one has."""

    def wait() -> bool:
        with studio.turn._changed:
            return studio.turn._changed.wait_for(studio.turn.is_wanted, 30)

    assert await asyncio.to_thread(wait)


# What is spoken together, and when


async def test_lines_that_wait_share_a_batch(studio: Studio, make_line: MakeLine) -> None:
    pool = studio.pool(batch=3)
    studio.speaking.close()
    first = submitted(pool, make_line("first"))
    await studio.speaking.reached()
    jobs = [submitted(pool, make_line("x" * length)) for length in (1, 2, 3, 4)]
    studio.speaking.open()
    for job in (first, *jobs):
        await outcome(job)
    assert [len(texts) for _, texts, _ in studio.batches] == [1, 3, 1]
    assert studio.batches[1][1] == ["xxx", "xx", "x"]


async def test_a_batch_waits_for_its_window_or_until_it_is_full(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(batch=3, window=5.0)
    jobs = [submitted(pool, make_line()) for _ in range(3)]
    for job in jobs:
        await outcome(job)  # full: the clock did not move
    jobs = [submitted(pool, make_line())]
    await studio.clock.until_waited_for(5.0)
    studio.clock.advance(3.0)
    jobs.append(submitted(pool, make_line()))
    await studio.clock.until_waited_for(2.0)
    studio.clock.advance(2.0)
    spoken = [await outcome(job) for job in jobs]
    assert [len(texts) for _, texts, _ in studio.batches] == [3, 2]
    assert [one.queued for one in spoken] == [5.0, 2.0]


async def test_a_seeded_line_is_spoken_alone_and_at_once(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(window=30.0)
    jobs = [submitted(pool, make_line(sampling=Sampling(seed=7))) for _ in range(3)]
    assert [(await outcome(job)).seed for job in jobs] == [7, 7, 7]
    assert [len(texts) for _, texts, _ in studio.batches] == [1, 1, 1]


async def test_fresh_seeds_differ_and_are_recorded(studio: Studio, make_line: MakeLine) -> None:
    pool = studio.pool()
    seeds = [(await outcome(submitted(pool, make_line()))).seed for _ in range(3)]
    assert seeds == [seed for _, _, seed in studio.batches]
    assert len(set(seeds)) == 3


async def test_queued_lines_hear_how_many_are_before_them(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    studio.speaking.close()
    submitted(pool, make_line())
    await studio.speaking.reached()
    second = submitted(pool, make_line())
    (news,) = await second.heard()
    assert news.queue_position == 1  # type: ignore[union-attr]


async def test_models_take_turns(studio: Studio, make_line: MakeLine) -> None:
    """No model waits without end, and what waits for one is spoken in one turn."""
    pool = studio.pool(batch=1)
    studio.speaking.close()
    jobs = [submitted(pool, make_line("1"))]
    await studio.speaking.reached()
    jobs += [submitted(pool, make_line(text), model(name)) for name, text in ("b2", "a3", "b4")]
    studio.speaking.open()
    for job in jobs:
        await outcome(job)
    assert [name for name, _, _ in studio.batches] == ["a", "b", "b", "a"]


async def test_pools_take_turns(studio: Studio, make_line: MakeLine) -> None:
    one, other = studio.pool(batch=1), studio.pool()
    studio.speaking.close()
    jobs = [submitted(one, make_line("1"))]
    await studio.speaking.reached()
    jobs.append(submitted(other, make_line("2"), model("b")))
    await until_wanted(studio)
    jobs.append(submitted(one, make_line("3")))
    studio.speaking.open()
    for job in jobs:
        await outcome(job)
    assert [name for name, _, _ in studio.batches] == ["a", "b", "a"]


# Which models are in memory


async def test_the_least_recently_used_model_makes_room(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(models=2)
    for name in ("a", "b", "a", "c"):
        await outcome(submitted(pool, make_line(), model(name)))
    assert studio.most_loaded == 2
    assert {key.checkpoint.name for key in pool.loaded} == {"a", "c"}


async def test_a_model_that_a_line_waits_for_makes_room_last(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(models=2)
    for name in ("a", "b"):
        await outcome(submitted(pool, make_line(), model(name)))
    with studio.turn.taken():
        jobs = [submitted(pool, make_line(), model(name)) for name in ("c", "a")]
    for job in jobs:
        await outcome(job)
    assert len(studio.engines["a"]) == 1


async def test_a_checkpoint_that_was_written_anew_is_loaded_anew(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    for version in (1, 1, 2):
        await outcome(submitted(pool, make_line(), model("a", version)))
    assert len(studio.engines["a"]) == 2


async def test_an_unused_model_and_the_thread_go(studio: Studio, make_line: MakeLine) -> None:
    pool = studio.pool(idle=60.0)
    await outcome(submitted(pool, make_line()))
    await studio.clock.until_waited_for(60.0)
    studio.clock.advance(59.0)
    await outcome(submitted(pool, make_line()))  # used again, it stays for another minute
    await studio.clock.until_waited_for(60.0)
    assert studio.loaded == 1
    studio.clock.advance(60.0)
    await thread_ended(pool)
    assert studio.loaded == 0
    await outcome(submitted(pool, make_line()))
    assert len(studio.engines["a"]) == 2


async def test_a_model_that_is_wanted_again_is_not_unloaded(
    studio: Studio, make_line: MakeLine
) -> None:
    """It had been idle for too long, and waited for its turn to be unloaded, when a line came."""
    pool = studio.pool(idle=60.0)
    await outcome(submitted(pool, make_line()))
    await studio.clock.until_waited_for(60.0)
    with studio.turn.taken():
        studio.clock.advance(60.0)
        await until_wanted(studio)
        again = submitted(pool, make_line())
    await outcome(again)
    assert len(studio.engines["a"]) == 1


async def test_models_are_unloaded_after_each_job_on_request(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(keep=False)
    studio.speaking.close()
    first = submitted(pool, make_line())
    await studio.speaking.reached()
    second = submitted(pool, make_line())  # is there before the model would go
    studio.speaking.open()
    await outcome(first)
    await outcome(second)
    await thread_ended(pool)
    assert [engine.loaded for engine in studio.engines["a"]] == [False]


async def test_a_model_that_must_not_stay_does_while_a_line_waits_for_it(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(models=2, keep=False)
    studio.speaking.close()
    jobs = [submitted(pool, make_line())]
    await studio.speaking.reached()
    jobs += [submitted(pool, make_line(), model(name)) for name in ("b", "a")]
    studio.speaking.open()
    for job in jobs:
        await outcome(job)
    assert [name for name, _, _ in studio.batches] == ["a", "b", "a"]
    assert len(studio.engines["a"]) == 1


# What goes wrong


async def test_a_runaway_is_tried_once_more(studio: Studio, make_line: MakeLine) -> None:
    studio.runaways = 1
    spoken = await outcome(submitted(studio.pool(), make_line()))
    assert [seed for _, _, seed in studio.batches][1] == spoken.seed
    assert len(spoken.warnings) == 1
    assert str(studio.batches[0][2]) in spoken.warnings[0]


async def test_a_seeded_runaway_is_repeated_with_the_next_seed(
    studio: Studio, make_line: MakeLine
) -> None:
    studio.runaways = 1
    spoken = await outcome(submitted(studio.pool(), make_line(sampling=Sampling(seed=2**64 - 1))))
    assert spoken.seed == 0


async def test_the_second_runaway_is_raised(studio: Studio, make_line: MakeLine) -> None:
    studio.runaways = 2
    with pytest.raises(RunawayGeneration) as raised:
        await outcome(submitted(studio.pool(), make_line()))
    assert raised.value.partial_duration == 1.5
    assert not raised.value.retryable  # it had both of its tries
    assert len(studio.batches) == 2


async def test_an_unforeseen_error_reaches_the_caller_and_stops_nothing(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    studio.errors = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await outcome(submitted(pool, make_line()))
    await outcome(submitted(pool, make_line()))


# Leaving and closing


async def test_a_cancelled_line_is_dropped_at_once_and_never_spoken(
    studio: Studio, make_line: MakeLine
) -> None:
    """Clients that time out and ask again during a training would fill the memory otherwise."""
    pool = studio.pool()
    studio.speaking.close()
    first = submitted(pool, make_line("first"))
    await studio.speaking.reached()
    unwanted = submitted(pool, make_line("unwanted"), model("b"))
    unwanted.cancel()
    dropped = weakref.ref(unwanted)
    del unwanted
    gc.collect()
    assert dropped() is None
    assert (pool.length, len(pool._models)) == (1, 1)
    last = submitted(pool, make_line("last"))
    studio.speaking.open()
    await outcome(first)
    await outcome(last)
    assert [texts for _, texts, _ in studio.batches] == [["first"], ["last"]]


async def test_a_line_that_is_cancelled_while_its_model_loads_is_not_spoken(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    studio.loading.close()
    job = submitted(pool, make_line())
    await studio.loading.reached()
    job.cancel()
    studio.loading.open()
    await outcome(submitted(pool, make_line("another")))
    assert [texts for _, texts, _ in studio.batches] == [["another"]]


@pytest.mark.parametrize("moment", ["loading", "speaking"])
async def test_closing_ends_what_waits_and_the_thread(
    studio: Studio, make_line: MakeLine, moment: str
) -> None:
    pool, gate = studio.pool(), getattr(studio, moment)
    gate.close()
    jobs = [submitted(pool, make_line())]
    await gate.reached()
    jobs.append(submitted(pool, make_line()))
    training = Call[None]()
    pool.submit_exclusive(training, lambda: pytest.fail("it began after the pool was closed"))
    closing = [asyncio.ensure_future(asyncio.to_thread(pool.close)) for _ in range(2)]
    for call in (*jobs, training):
        with pytest.raises(BackendUnavailable, match="closed"):
            await outcome(call)
    gate.open()
    await asyncio.gather(*closing)
    assert not pool._thread.is_alive()  # type: ignore[union-attr]
    assert studio.loaded == 0
    assert len(studio.batches) == (moment == "speaking")
    for late in (lambda: submitted(pool, make_line()), lambda: pool.submit_exclusive(training, id)):
        with pytest.raises(BackendUnavailable, match="closed"):
            late()


async def test_closing_waits_for_no_other_pool(studio: Studio, make_line: MakeLine) -> None:
    """Not for what it speaks, which may be minutes, nor for what it trains, which may be hours."""
    speaking, waiting = studio.pool(), studio.pool()
    await outcome(submitted(waiting, make_line(), model("b")))
    studio.speaking.close()
    job = submitted(speaking, make_line())
    await studio.speaking.reached()
    await studio.speaking.reached()
    late = submitted(waiting, make_line(), model("b"))
    await until_wanted(studio)
    await asyncio.wait_for(asyncio.to_thread(waiting.close), 30)
    with pytest.raises(BackendUnavailable, match="closed"):
        await outcome(late)
    assert studio.loaded == 1
    assert not studio.turn.is_wanted()
    studio.speaking.open()
    await outcome(job)


async def test_exclusive_work_has_the_device_for_itself(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    await outcome(submitted(pool, make_line("before")))
    studio.speaking.close()
    call, threads = Call[int](), set(threading.enumerate())

    def work() -> int:
        studio.speaking.pass_through()
        return studio.loaded

    pool.submit_exclusive(call, work)
    await studio.speaking.reached()
    await studio.speaking.reached()
    meanwhile = submitted(pool, make_line("meanwhile"))
    (news,) = await meanwhile.heard()
    assert news.queue_position == 1  # type: ignore[union-attr]
    assert not any("direct" in thread.name for thread in set(threading.enumerate()) - threads)
    assert [texts for _, texts, _ in studio.batches] == [["before"]]
    studio.speaking.open()
    assert await outcome(call) == 0
    await outcome(meanwhile)


async def test_cancelled_exclusive_work_leaves_the_line_for_the_turn(
    studio: Studio, make_line: MakeLine
) -> None:
    """Its thread ends at once, though another pool may train for hours."""
    pool, call = studio.pool(), Call[None]()
    with studio.turn.taken():
        pool.submit_exclusive(call, lambda: pytest.fail("it was cancelled"))
        await until_wanted(studio)
        call.cancel()
        await thread_ended(pool)
        assert not studio.turn.is_wanted()


# News that the caller does not read


async def test_unread_progress_is_bounded_and_pieces_are_kept(make_line: MakeLine) -> None:
    job, piece = Job(make_line(), streamed=True), Piece(np.ones(8, np.float32), 1, ())
    job.tell(piece)
    for number in range(5000):
        job.tell(Progress(Stage.TRAINING, step=number))
    job.tell(piece)
    news = await job.heard()
    assert len(news) <= 1001
    assert (news[0], news[-1]) == (piece, piece)
    assert news[-2].step == 4999  # type: ignore[union-attr]


def test_the_thread_outlives_the_event_loop_that_was_closed(
    studio: Studio, make_line: MakeLine
) -> None:
    """A loop that is closed without cancelling its tasks takes its jobs with it, and no others."""
    pool = studio.pool()
    studio.speaking.close()
    loop = asyncio.new_event_loop()

    async def begin() -> Job:
        job = submitted(pool, make_line("abandoned"))
        await studio.speaking.reached()
        return job

    loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    studio.speaking.open()

    async def go_on() -> Spoken:
        return await outcome(submitted(pool, make_line("next")))  # type: ignore[no-any-return]

    assert asyncio.run(go_on()).seed >= 0
