"""What a pool of models promises, with engines that do what the test says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from storycore_tts import BackendUnavailable, RunawayGeneration, Sampling
from storycore_tts.adapters.direct.checkpoints import Checkpoint
from storycore_tts.adapters.direct.jobs import Job, Line, Spoken
from storycore_tts.adapters.direct.pool import GENERATION, ModelKey, Pool

if TYPE_CHECKING:
    Studio = Any
    MakeLine = Callable[..., Line]


def model(name: str = "a", version: int = 1) -> ModelKey:
    return ModelKey(Checkpoint(name, "custom_voice"), version)


async def outcome(job: Job) -> Spoken:
    async def listen() -> None:
        while await job.heard():
            pass

    await asyncio.wait_for(listen(), 30)
    return job.result()


def submitted(pool: Pool, line: Line, key: ModelKey | None = None, **how: Any) -> Job:
    job = Job(line, **how)
    pool.submit(key or model(), job)
    return job


async def begun(studio: Studio) -> None:
    """Wait until a generation has begun."""
    assert await asyncio.to_thread(studio.begun.acquire, timeout=30)


async def emptied(pool: Pool) -> None:
    """Wait until no model is in memory and no worker is left."""

    def wait() -> bool:
        with pool.changed:
            return pool.changed.wait_for(lambda: not pool._workers, 30)

    assert await asyncio.to_thread(wait)


async def test_lines_that_wait_share_a_batch(studio: Studio, make_line: MakeLine) -> None:
    pool = studio.pool(batch=3)
    studio.gate.clear()
    first = submitted(pool, make_line("first"))
    await begun(studio)
    jobs = [submitted(pool, make_line("x" * length)) for length in (1, 2, 3, 4)]
    studio.gate.set()
    for job in (first, *jobs):
        await outcome(job)
    sizes = [len(texts) for _, texts, _ in studio.batches]
    assert sizes == [1, 3, 1]
    assert studio.batches[1][1] == ["xxx", "xx", "x"]


async def test_the_window_lets_a_batch_fill_up(studio: Studio, make_line: MakeLine) -> None:
    pool = studio.pool(batch=3, window=30.0)
    jobs = [submitted(pool, make_line()) for _ in range(3)]
    for job in jobs:
        await outcome(job)  # the full batch did not wait for the 30 s
    assert [len(texts) for _, texts, _ in studio.batches] == [3]


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


async def test_the_least_recently_used_model_makes_room(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(models=2)
    for name in ("a", "b", "a", "c"):
        await outcome(submitted(pool, make_line(), model(name)))
    assert studio.most_loaded == 2
    assert {key.checkpoint.name for key in pool.loaded} == {"a", "c"}


async def test_a_checkpoint_that_was_written_anew_is_loaded_anew(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    for version in (1, 1, 2):
        await outcome(submitted(pool, make_line(), model("a", version)))
    assert len(studio.engines["a"]) == 2


async def test_an_unused_model_and_its_thread_go(studio: Studio, make_line: MakeLine) -> None:
    pool = studio.pool(idle=0.05)
    await outcome(submitted(pool, make_line()))
    await emptied(pool)
    assert not studio.engines["a"][0].loaded
    await outcome(submitted(pool, make_line()))
    assert len(studio.engines["a"]) == 2


async def test_models_are_unloaded_after_each_job_on_request(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool(keep=False)
    await outcome(submitted(pool, make_line()))
    await outcome(submitted(pool, make_line(), model("b")))  # its turn comes after the unloading
    assert not studio.engines["a"][0].loaded


async def test_models_take_turns(studio: Studio, make_line: MakeLine) -> None:
    """No model is waited for without end, and what waits for one is spoken in one turn."""
    pool = studio.pool(batch=1)
    studio.gate.clear()
    jobs = [submitted(pool, make_line("1"))]
    await begun(studio)
    jobs += [submitted(pool, make_line(text), model(name)) for name, text in ("b2", "a3", "b4")]
    await asyncio.to_thread(_until_wanted)
    studio.gate.set()
    for job in jobs:
        await outcome(job)
    names = [name for name, _, _ in studio.batches]
    assert names == ["a", "b", "b", "a"]


def _until_wanted() -> None:
    with GENERATION._changed:
        assert GENERATION._changed.wait_for(GENERATION.is_wanted, 30)


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
    assert len(studio.batches) == 2


async def test_an_error_nobody_foresaw_reaches_the_caller_and_stops_nothing(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    studio.errors = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await outcome(submitted(pool, make_line()))
    await outcome(submitted(pool, make_line()))


async def test_a_cancelled_line_that_waits_is_never_spoken(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    studio.gate.clear()
    first = submitted(pool, make_line("first"))
    await begun(studio)
    submitted(pool, make_line("unwanted")).cancel()
    assert pool.length == 1
    last = submitted(pool, make_line("last"))
    studio.gate.set()
    await outcome(first)
    await outcome(last)
    assert [texts for _, texts, _ in studio.batches] == [["first"], ["last"]]


async def test_closing_ends_what_waits_and_all_threads(studio: Studio, make_line: MakeLine) -> None:
    before = set(threading.enumerate())  # those that other tests left running among them
    pool = studio.pool()
    studio.gate.clear()
    jobs = [submitted(pool, make_line()) for _ in range(2)]
    await begun(studio)
    closing = asyncio.ensure_future(asyncio.to_thread(pool.close))
    for job in jobs:
        with pytest.raises(BackendUnavailable, match="closed"):
            await outcome(job)
    studio.gate.set()
    await closing
    left = set(threading.enumerate()) - before
    assert not any(t.name.startswith("storycore-tts-direct") for t in left)
    with pytest.raises(BackendUnavailable, match="closed"):
        submitted(pool, make_line())


async def test_queued_lines_hear_how_many_are_before_them(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    studio.gate.clear()
    first = submitted(pool, make_line())
    await begun(studio)
    second = submitted(pool, make_line())
    (news,) = await second.heard()
    assert news.queue_position == 1  # type: ignore[union-attr]
    studio.gate.set()
    await outcome(first)
    await outcome(second)


async def test_what_nobody_wants_any_more_unloads_nothing(
    studio: Studio, make_line: MakeLine
) -> None:
    pool = studio.pool()
    await outcome(submitted(pool, make_line()))
    with pytest.raises(BackendUnavailable), pool.cleared(unless=lambda: True):
        pytest.fail("it has the device, and nobody wants it")
    assert studio.engines["a"][0].loaded


async def test_closing_waits_for_no_other_pool(studio: Studio, make_line: MakeLine) -> None:
    """Not for what it speaks, which may be minutes, nor for what it trains, which may be hours."""
    speaking, waiting = studio.pool(), studio.pool()
    await outcome(submitted(waiting, make_line(), model("b")))
    studio.gate.clear()
    job = submitted(speaking, make_line())
    await begun(studio)
    late = submitted(waiting, make_line(), model("b"))
    await asyncio.to_thread(_until_wanted)
    await asyncio.wait_for(asyncio.to_thread(waiting.close), 30)
    with pytest.raises(BackendUnavailable, match="closed"):
        await outcome(late)
    assert not studio.engines["b"][0].loaded
    assert not GENERATION.is_wanted()
    studio.gate.set()
    await outcome(job)
