"""What a queue keeps of its promises in files and in PostgreSQL, which speak different SQL."""

from __future__ import annotations

import asyncio
import logging

import pytest
import sqlalchemy as sa

from storycore_tts.adapters.queue import tables
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import (
    SUSPENDED,
    JobKind,
    JobNotFound,
    JobNotReady,
    JobState,
    TooManyJobs,
    UploadNotFound,
)

from .conftest import ended, nothing_is_left, spec, traces, until


async def test_a_job_is_accepted_done_and_kept(place, workshop, opened):
    queue = await opened(place, workshop)
    accepted = await queue.submit(spec("One.", hold="gate"))
    assert accepted.state is JobState.QUEUED
    await workshop.begun[accepted.id].wait()
    with pytest.raises(JobNotReady):
        await queue.audio("ann", accepted.id)
    workshop.gates["gate"].set()
    job = await ended(queue, accepted)
    assert job.state is JobState.SUCCEEDED
    assert job.spec == accepted.spec == spec("One.", hold="gate")
    assert job.facts == {"text": "One."}
    assert job.media_type == "audio/wav"
    assert job.failure is None
    assert job.created == accepted.created
    assert job.created <= job.started <= job.ended
    assert workshop.calls == [job.id]
    sound = await queue.audio("ann", job.id)
    assert (sound.data, sound.media_type) == (b"RIFF", "audio/wav")
    assert int(sound.etag, 16)
    assert await queue.get("ann", job.id) == job


async def test_uploads_and_sites_are_kept(place, workshop, opened):
    queue = await opened(place, workshop)
    store = queue.uploads
    upload_id = await store.put("ann", b"\0recording\xff")
    assert await store.get("ann", upload_id) == b"\0recording\xff"
    assert await store.put("ann", b"\0recording\xff") == upload_id
    assert await store.put("ann", b"other") != upload_id
    assert await store.put("bob", b"\0recording\xff") != upload_id
    for owner, unknown in [("bob", upload_id), ("ann", "up_" + "0" * 48), ("ann", "\0")]:
        with pytest.raises(UploadNotFound):
            await store.get(owner, unknown)

    assert await queue.affinities.find("a job") is None
    for endpoint in (
        BackendEndpoint("http://gpu:8188"),
        BackendEndpoint("http://127.0.0.1:8188", "render-1"),
    ):
        await queue.affinities.note("a job", endpoint)
        assert await queue.affinities.find("a job") == endpoint
    assert await queue.affinities.find("another job") is None


async def test_jobs_are_listed_the_youngest_first_and_by_state(place, workshop, opened):
    queue = await opened(place, workshop)
    done = [await queue.submit(spec(str(number))) for number in range(3)]
    failed = [await queue.submit(spec(fail="on purpose")) for _ in range(3)]
    other = await queue.submit(spec(owner="bob"))
    for job in [*done, *failed, other]:
        await ended(queue, job)
    held = [await queue.submit(spec(hold="gate")) for _ in range(2)]
    for job in held:
        await workshop.begun[job.id].wait()
    waiting = await queue.submit(spec())
    cancelled = await queue.submit(spec())
    await queue.cancel("ann", cancelled.id)
    expected = {
        None: [*done, *failed, *held, waiting, cancelled],
        JobState.QUEUED: [waiting],
        JobState.RUNNING: held,
        JobState.SUCCEEDED: done,
        JobState.FAILED: failed,
        JobState.CANCELLED: [cancelled],
    }
    for state, jobs in expected.items():
        found = await queue.jobs("ann", state=state)
        assert [job.id for job in found] == [job.id for job in reversed(jobs)], state
        assert {job.state for job in found} == {state} or state is None
    newest = [job.id for job in reversed(expected[None])]
    pages = [await queue.jobs("ann", limit=4, offset=offset) for offset in (0, 4, 8, 12)]
    assert [[job.id for job in page] for page in pages] == [
        newest[:4], newest[4:8], newest[8:], [],
    ]  # fmt: skip
    page = await queue.jobs("ann", state=JobState.FAILED, limit=1, offset=1)
    assert [job.id for job in page] == [failed[1].id]
    assert await queue.jobs("ann", limit=0) == []
    assert [job.id for job in await queue.jobs("bob")] == [other.id]
    assert (await queue.jobs("ann"))[-1] == await queue.get("ann", newest[-1])
    assert await queue.counts() == {JobState.QUEUED: 1, JobState.RUNNING: 2}


async def test_what_is_urgent_goes_first_and_no_more_run_than_allowed(place, workshop, opened):
    queue = await opened(place, workshop, concurrency={"draft": 1})
    first = await queue.submit(spec(hold="gate"))
    await workshop.begun[first.id].wait()
    priorities = [0, -10, 10, 0, 9]
    jobs = [await queue.submit(spec(priority=priority)) for priority in priorities]
    workshop.gates["gate"].set()
    for job in jobs:
        await ended(queue, job)
    assert workshop.calls == [first.id, *(jobs[n].id for n in (2, 4, 0, 3, 1))]
    assert workshop.most_at_once == 1


async def test_a_cancelled_job_is_stopped_at_once_or_never_starts(place, workshop, opened, caplog):
    """Where it is done, and not when the database is looked at the next time."""
    never = {"look": 3600, "note": 3600}
    queue = await opened(place, workshop, intervals=never, concurrency={"draft": 1})
    running = await queue.submit(spec(hold="gate", progress=[0.1, 0.5], last_words=[0.9]))
    await workshop.begun[running.id].wait()
    waiting, third = await queue.submit(spec()), await queue.submit(spec())
    cancelled = await queue.cancel("ann", waiting.id)
    assert (cancelled.state, cancelled.started) == (JobState.CANCELLED, None)
    assert cancelled.created <= cancelled.ended

    stopped = await queue.cancel("ann", running.id)
    assert stopped.state is JobState.CANCELLED
    assert stopped.started is not None
    assert stopped.progress.fraction == 0.5
    await asyncio.wait_for(workshop.ended[running.id].wait(), 30)
    assert workshop.cancelled[running.id] == ("cancelled",)
    await ended(queue, third)
    assert workshop.calls == [running.id, third.id]
    await queue.aclose()

    again = await opened(place, workshop)  # its last progress was not written down at the time
    for job in (stopped, cancelled):
        assert await again.get("ann", job.id) == await again.cancel("ann", job.id) == job
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_full_queue_refuses(place, workshop, opened):
    """How many submit at once: test_bounds.py."""
    queue = await opened(place, workshop, concurrency={"draft": 1}, max_queued=1)
    first = await queue.submit(spec(hold="gate"))
    await workshop.begun[first.id].wait()
    waiting = await queue.submit(spec("0", key="0"))
    with pytest.raises(TooManyJobs) as caught:
        await queue.submit(spec("1", key="1"))
    assert caught.value.retryable
    assert (await queue.submit(spec("0", key="0"))).id == waiting.id
    workshop.gates["gate"].set()
    await ended(queue, waiting)
    assert workshop.calls == [first.id, waiting.id]


async def test_the_same_key_is_the_same_job_and_owners_and_keys_may_be_anything(
    place, workshop, opened
):
    queue = await opened(place, workshop)
    jobs = await asyncio.gather(*(queue.submit(spec(key="k")) for _ in range(10)))
    assert {job.id for job in jobs} == {jobs[0].id}
    done = await ended(queue, jobs[0])
    assert await queue.submit(spec(key="k")) == done
    assert workshop.calls == [done.id]
    assert (await queue.submit(spec(key="k", owner="bob"))).id != done.id
    assert (await queue.submit(spec(key="K"))).id != done.id
    for odd in ("", "\0", "é\ud800", "a'b\"c", "x" * 5000):
        job = await queue.submit(spec(owner=odd, key=odd))
        assert (await queue.submit(spec(owner=odd, key=odd))).id == job.id
        assert (await ended(queue, job)).spec.owner == odd


async def test_what_is_under_way_at_the_end_is_taken_up_again(place, workshop, opened, caplog):
    """And what ended meanwhile, too."""
    queue = await opened(place, workshop)
    running = await queue.submit(spec("Running.", hold="gate"))
    stubborn = await queue.submit(spec(hold="gate", stubborn="yes"))
    for job in (running, stubborn):
        await workshop.begun[job.id].wait()
    others = [await queue.submit(spec(hold="gate")) for _ in range(3)]
    await queue.aclose()
    assert workshop.cancelled[running.id] == (SUSPENDED,)
    workshop.gates["gate"].set()
    again = await opened(place, workshop)
    for job in (running, stubborn, *others):
        assert (await ended(again, job)).state is JobState.SUCCEEDED
    assert workshop.calls.count(running.id) == 2
    assert workshop.specs[running.id] == running.spec
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_what_is_old_is_removed_and_what_is_needed_stays(place, workshop, opened):
    limits = dict.fromkeys(JobKind, 0.1)
    queue = await opened(place, workshop, retention_seconds=0.001, time_limits=limits)
    needed = await queue.uploads.put("ann", b"needed")
    unused = await queue.uploads.put("ann", b"unused")
    held = await queue.submit(spec(hold="gate", sample={"at": [needed]}, time_limit=60))
    cancelled = await queue.submit(spec(hold="gate"))
    await queue.cancel("ann", cancelled.id)
    old = await ended(queue, await queue.submit(spec(hold="gate")))  # 0.1 s and more
    await queue.in_thread(queue._housekeeping.sweep)
    with pytest.raises(UploadNotFound):
        await queue.uploads.get("ann", unused)
    for job in (old, cancelled):
        with pytest.raises(JobNotFound):
            await queue.get("ann", job.id)
    with queue._storage.reading() as connection:
        assert connection.execute(sa.select(tables.results)).all() == []
    assert await queue.uploads.get("ann", needed) == b"needed"
    assert (await queue.get("ann", held.id)).state is JobState.RUNNING


async def test_it_is_quiet_and_leaves_the_process_as_it_was(place, workshop, opened, caplog, capfd):
    root = logging.getLogger()
    handlers, level, loop = root.handlers[:], root.level, asyncio.get_running_loop()
    await asyncio.to_thread(int)
    executor = loop._default_executor
    before = traces()
    with caplog.at_level(logging.DEBUG, "storycore_tts"):
        queue = await opened(place, workshop)
        for fail in ("", "on purpose"):
            await ended(queue, await queue.submit(spec(fail=fail)))
        held = await queue.submit(spec(hold="gate"))
        await until(queue, held, lambda job: job.state is JobState.RUNNING)
        await queue.aclose()
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert tuple(capfd.readouterr()) == ("", "")
    assert (root.handlers, root.level) == (handlers, level)
    assert loop._default_executor is executor
    assert await asyncio.to_thread(int) == 0
    await nothing_is_left(before)
