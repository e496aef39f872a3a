"""What every place keeps of its promises: files and PostgreSQL."""

from __future__ import annotations

import asyncio
import logging

import pytest

from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.domain.jobs import (
    PUT_DOWN,
    Failure,
    IdempotencyConflict,
    JobKind,
    JobNotFound,
    JobNotReady,
    JobState,
    Order,
    TooManyJobs,
    UploadNotFound,
)
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.sites import Site
from storycore_tts.ports import JobQueue, SiteStore, UploadStore

from .conftest import ended, order, until


async def collected(stream):
    return [item async for item in stream]


async def test_it_is_what_the_ports_ask_for(queue):
    assert isinstance(queue, JobQueue)
    assert isinstance(queue.uploads, UploadStore)
    assert isinstance(queue.sites, SiteStore)


async def test_where_a_job_is_begun_is_kept(queue):
    assert await queue.sites.find("a job") is None
    for site in (Site("http://gpu:8188"), Site("http://127.0.0.1:8188", "render-1")):
        await queue.sites.note("a job", site)
        assert await queue.sites.find("a job") == site
    assert await queue.sites.find("another job") is None


async def test_a_job_is_accepted_done_and_kept(queue, workshop):
    accepted = await queue.submit(order("One.", hold="gate"))
    assert accepted.state is JobState.QUEUED
    await workshop.begun[accepted.id].wait()
    workshop.gates["gate"].set()
    job = await ended(queue, accepted)
    assert job.state is JobState.SUCCEEDED
    assert job.order == accepted.order == order("One.", hold="gate")
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


async def test_a_job_without_a_sound_has_none(queue):
    job = await ended(queue, await queue.submit(order(sound="")))
    assert job.state is JobState.SUCCEEDED
    assert job.media_type == ""
    with pytest.raises(JobNotReady, match="no sound"):
        await queue.audio("ann", job.id)


async def test_a_job_under_way_has_no_sound_yet(queue, workshop):
    job = await queue.submit(order(hold="gate"))
    await workshop.begun[job.id].wait()
    with pytest.raises(JobNotReady):
        await queue.audio("ann", job.id)


async def test_an_error_of_ours_is_kept_as_it_is(queue):
    job = await ended(queue, await queue.submit(order(fail="on purpose")))
    assert job.state is JobState.FAILED
    assert job.failure == Failure("OutOfMemory", "The GPU is full.", "Wait.", "draft", False)
    assert job.facts == {}
    with pytest.raises(JobNotReady):
        await queue.audio("ann", job.id)


async def test_a_bug_is_logged_and_not_told(queue, caplog):
    with caplog.at_level(logging.INFO):
        job = await ended(queue, await queue.submit(order("Private words.", fail="bug")))
    assert job.state is JobState.FAILED
    assert job.failure.error == "InternalError"
    assert "internals" not in f"{job.failure}"
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.levelno == logging.ERROR
    assert job.id in record.getMessage()
    assert "in _do" in record.getMessage()
    assert "Private" not in caplog.text


async def test_a_performer_that_cancels_itself_has_failed(queue):
    job = await ended(queue, await queue.submit(order(fail="cancelled")))
    assert job.state is JobState.FAILED
    assert job.failure.error == "InternalError"


async def test_nobody_sees_the_jobs_of_others(queue):
    job = await ended(queue, await queue.submit(order()))
    for ask in (queue.get, queue.cancel, queue.audio):
        with pytest.raises(JobNotFound):
            await ask("bob", job.id)
    with pytest.raises(JobNotFound):
        await collected(queue.watch("bob", job.id))
    assert await queue.jobs("bob") == []
    assert (await queue.get("ann", job.id)).state is JobState.SUCCEEDED


async def test_what_is_no_id_is_no_job(queue):
    job = await queue.submit(order())
    spellings = [job.id.upper(), f"{{{job.id}}}", job.id.replace("-", "")]
    for job_id in ["", "x", "../a", "0" * 36, "\0", "é", "f" * 10_000, "%", *spellings]:
        with pytest.raises(JobNotFound):
            await queue.get("ann", job_id)


async def test_jobs_are_listed_the_youngest_first(queue):
    jobs = [await queue.submit(order(str(number))) for number in range(7)]
    other = await queue.submit(order(owner="bob"))
    for job in [*jobs, other]:
        await ended(queue, job)
    newest = [job.id for job in reversed(jobs)]
    assert [job.id for job in await queue.jobs("ann")] == newest
    pages = [await queue.jobs("ann", limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [[job.id for job in page] for page in pages] == [
        newest[:3], newest[3:6], newest[6:], [],
    ]  # fmt: skip
    assert await queue.jobs("ann", limit=0) == []
    assert [job.id for job in await queue.jobs("bob")] == [other.id]
    assert (await queue.jobs("ann"))[0] == await queue.get("ann", newest[0])


async def test_jobs_are_listed_by_state(queue, workshop):
    done = [await queue.submit(order(str(number))) for number in range(3)]
    failed = [await queue.submit(order(fail="on purpose")) for _ in range(3)]
    for job in [*done, *failed]:
        await ended(queue, job)
    held = [await queue.submit(order(hold="gate")) for _ in range(2)]
    for job in held:
        await workshop.begun[job.id].wait()
    waiting = await queue.submit(order())
    cancelled = await queue.submit(order())
    await queue.cancel("ann", cancelled.id)
    expected = {
        JobState.QUEUED: [waiting],
        JobState.RUNNING: held,
        JobState.SUCCEEDED: done,
        JobState.FAILED: failed,
        JobState.CANCELLED: [cancelled],
    }
    for state, jobs in expected.items():
        found = await queue.jobs("ann", state=state)
        assert [job.id for job in found] == [job.id for job in reversed(jobs)], state
        assert {job.state for job in found} == {state}
    page = await queue.jobs("ann", state=JobState.FAILED, limit=1, offset=1)
    assert [job.id for job in page] == [failed[1].id]
    counts = await queue.counts()
    assert counts == {JobState.QUEUED: 1, JobState.RUNNING: 2}


async def test_no_more_jobs_run_at_once_than_allowed(queue, workshop):
    jobs = [await queue.submit(order(hold="gate")) for _ in range(5)]
    await workshop.begun[jobs[0].id].wait()
    await workshop.begun[jobs[1].id].wait()
    workshop.gates["gate"].set()
    for job in jobs:
        await ended(queue, job)
    assert workshop.most_at_once == 2
    assert sorted(workshop.calls) == sorted(job.id for job in jobs)


async def test_what_is_urgent_goes_first(place, workshop, opened):
    queue = await opened(place, workshop, concurrency={"draft": 1})
    first = await queue.submit(order(hold="gate"))
    await workshop.begun[first.id].wait()
    priorities = [0, -10, 10, 0, 9]
    jobs = [await queue.submit(order(priority=priority)) for priority in priorities]
    workshop.gates["gate"].set()
    for job in jobs:
        await ended(queue, job)
    assert workshop.calls == [first.id, *(jobs[n].id for n in (2, 4, 0, 3, 1))]


async def test_a_job_that_waits_never_starts_once_it_is_cancelled(place, workshop, opened):
    queue = await opened(place, workshop, concurrency={"draft": 1})
    first = await queue.submit(order(hold="gate"))
    await workshop.begun[first.id].wait()
    second, third = await queue.submit(order()), await queue.submit(order())
    job = await queue.cancel("ann", second.id)
    assert job.state is JobState.CANCELLED
    assert job.started is None
    assert job.created <= job.ended
    workshop.gates["gate"].set()
    await ended(queue, third)
    assert workshop.calls == [first.id, third.id]
    assert await queue.get("ann", second.id) == job


async def test_a_job_under_way_is_cancelled_where_it_is_done(
    place, workshop, opened, monkeypatch, caplog
):
    """At once, and not when the database is looked at the next time."""
    monkeypatch.setattr("storycore_tts.adapters.queue.watching._LOOKS_EVERY", 3600)
    queue = await opened(place, workshop)
    job = await queue.submit(order(hold="gate"))
    await workshop.begun[job.id].wait()
    cancelled = await queue.cancel("ann", job.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.started is not None
    await asyncio.wait_for(workshop.ended[job.id].wait(), 30)
    assert workshop.cancelled[job.id] == ("cancelled",)
    assert (await queue.get("ann", job.id)).state is JobState.CANCELLED
    assert await queue.cancel("ann", job.id) == await queue.get("ann", job.id)
    await ended(queue, await queue.submit(order()))
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_performer_that_ignores_cancellation_succeeds_for_nobody(queue, workshop):
    job = await queue.submit(order(hold="gate", stubborn="yes"))
    await workshop.begun[job.id].wait()
    await queue.cancel("ann", job.id)
    await workshop.ended[job.id].wait()
    await ended(queue, await queue.submit(order()))
    assert (await queue.get("ann", job.id)).state is JobState.CANCELLED
    with pytest.raises(JobNotReady):
        await queue.audio("ann", job.id)


async def test_an_ended_job_stays_as_it_is(queue):
    job = await ended(queue, await queue.submit(order()))
    assert await queue.cancel("ann", job.id) == job
    failed = await ended(queue, await queue.submit(order(fail="on purpose")))
    assert await queue.cancel("ann", failed.id) == failed


@pytest.mark.parametrize("stubborn", [{}, {"stubborn": "yes"}])
async def test_a_job_that_takes_too_long_is_stopped(queue, workshop, stubborn):
    job = await ended(queue, await queue.submit(order(hold="gate", time_limit=0.3, **stubborn)))
    assert job.state is JobState.FAILED
    assert job.failure.error == "BackendTimeout"
    assert "0.3 s" in job.failure.message
    assert workshop.cancelled[job.id] == ("time limit",)


async def test_each_kind_has_a_time_limit(place, workshop, opened):
    limits = {JobKind.SPEECH: 0.2, JobKind.TRAINING: 60}
    queue = await opened(place, workshop, time_limits=limits)
    slow = await queue.submit(order(hold="gate", kind=JobKind.TRAINING))
    job = await ended(queue, await queue.submit(order(hold="gate")))
    assert job.failure.error == "BackendTimeout"
    assert (await queue.get("ann", slow.id)).state is JobState.RUNNING


async def test_a_full_queue_refuses(place, workshop, opened):
    queue = await opened(place, workshop, concurrency={"draft": 1}, max_queued=3)
    first = await queue.submit(order(hold="gate"))
    await workshop.begun[first.id].wait()
    tries = [queue.submit(order(str(n), key=str(n))) for n in range(8)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooManyJobs)]
    assert len(refused) == 5
    assert refused[0].retryable
    again = await queue.submit(order("0", key="0"))
    assert again.id == answers[0].id
    workshop.gates["gate"].set()
    for job in answers[:3]:
        await ended(queue, job)
    assert len(workshop.calls) == 4


async def test_the_same_key_is_the_same_job(queue, workshop):
    jobs = await asyncio.gather(*(queue.submit(order(key="k")) for _ in range(10)))
    assert {job.id for job in jobs} == {jobs[0].id}
    done = await ended(queue, jobs[0])
    assert await queue.submit(order(key="k")) == done
    assert workshop.calls == [done.id]
    assert (await queue.submit(order(key="k", owner="bob"))).id != done.id
    assert (await queue.submit(order(key="K"))).id != done.id


async def test_a_key_stands_for_one_order(queue):
    job = await queue.submit(order(key="k"))
    for other in (
        order("Else.", key="k"),
        order(kind=JobKind.CLONE, key="k"),
        order(priority=1, key="k"),
        order(time_limit=5, key="k"),
        order(key="k", more=1),
    ):
        with pytest.raises(IdempotencyConflict):
            await queue.submit(other)
    assert [found.id for found in await queue.jobs("ann")] == [job.id]


async def test_an_unknown_backend_is_refused(queue):
    with pytest.raises(InvalidRequest, match="'other'"):
        await queue.submit(Order(JobKind.SPEECH, "other", {}, "ann"))


async def test_details_that_are_no_json_are_refused(queue):
    for value in (float("nan"), b"1", {1, 2}, 10**5000):
        with pytest.raises(InvalidRequest, match="JSON"):
            await queue.submit(order(x=value))


async def test_watchers_see_each_change(queue, workshop):
    job = await queue.submit(order(hold="gate", progress=[0.25, 0.5]))
    seen = []
    async for state in queue.watch("ann", job.id):
        seen.append(state)
        if state.progress is not None:
            workshop.gates["gate"].set()
    order_of_states = list(dict.fromkeys(state.state for state in seen))
    assert order_of_states in (
        [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED],
        [JobState.RUNNING, JobState.SUCCEEDED],
    )
    assert [s.progress.fraction for s in seen if s.state is JobState.RUNNING and s.progress] == [
        0.5
    ]
    assert all(one != other for one, other in zip(seen, seen[1:]))  # noqa: B905, RUF007 - Python 3.10
    assert [s.state for s in await collected(queue.watch("ann", job.id))] == [JobState.SUCCEEDED]


async def test_many_may_watch(queue, workshop):
    job = await queue.submit(order(hold="gate"))
    watchers = [asyncio.ensure_future(collected(queue.watch("ann", job.id))) for _ in range(20)]
    await workshop.begun[job.id].wait()
    workshop.gates["gate"].set()
    for states in await asyncio.gather(*watchers):
        assert states[-1].state is JobState.SUCCEEDED


@pytest.mark.parametrize("fail", ["", "on purpose"])
async def test_the_last_progress_is_written_down(place, workshop, opened, fail):
    queue = await opened(place, workshop)
    steps = {"progress": [0.1, 0.2, 0.3], "last_progress": [0.4, 0.9]}
    job = await queue.submit(order(hold="gate", fail=fail, **steps))
    await until(queue, job, lambda state: state.progress and state.progress.fraction == 0.3)
    workshop.gates["gate"].set()
    assert (await ended(queue, job)).progress.fraction == 0.9


async def test_a_job_that_has_ended_makes_no_more_progress(
    place, workshop, opened, monkeypatch, caplog
):
    monkeypatch.setattr("storycore_tts.adapters.queue.work._STOPS_WITHIN", 0.1)
    queue = await opened(place, workshop)
    deaf = {"hold": "gate", "stubborn": "deaf", "last_progress": [0.9]}
    job = await ended(queue, await queue.submit(order(progress=[0.1], time_limit=0.5, **deaf)))
    assert job.state is JobState.FAILED
    workshop.gates["deaf"].set()
    await workshop.ended[job.id].wait()
    await ended(queue, await queue.submit(order()))
    assert (await queue.get("ann", job.id)).progress.fraction == 0.1
    assert f'job.does_not_stop job={job.id} reason="time limit"' in caplog.text


async def test_a_job_that_is_cancelled_keeps_its_last_progress(place, opened, monkeypatch):
    """It was told and not written down yet, and what comes after it is too late."""
    monkeypatch.setattr("storycore_tts.adapters.queue.work._NOTE_EVERY", 3600)
    told, over = asyncio.Event(), asyncio.Event()

    async def perform(job_id, order, report):
        report(Progress(Stage.GENERATING, 0.1))
        await told.wait()
        report(Progress(Stage.GENERATING, 0.5))
        try:
            await asyncio.Event().wait()
        finally:
            report(Progress(Stage.GENERATING, 0.9))
            await over.wait()

    queue = await opened(place, perform)
    job = await queue.submit(order())
    while not any(note.progress for note in queue._tables.notes([job.id]).values()):
        await asyncio.sleep(0.01)
    told.set()
    await until(queue, job, lambda state: state.progress and state.progress.fraction == 0.5)
    cancelled = await queue.cancel("ann", job.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.progress.fraction == 0.5
    assert await queue.get("ann", job.id) == cancelled
    over.set()
    await queue.aclose()
    assert (await (await opened(place, perform)).get("ann", job.id)) == cancelled


async def test_what_is_under_way_at_the_end_is_taken_up_again(place, workshop, opened, caplog):
    queue = await opened(place, workshop)
    running = await queue.submit(order("Running.", hold="gate"))
    await workshop.begun[running.id].wait()
    others = [await queue.submit(order(hold="gate")) for _ in range(3)]
    await queue.aclose()
    assert workshop.cancelled[running.id] == (PUT_DOWN,)
    workshop.gates["gate"].set()
    again = await opened(place, workshop)
    for job in (running, *others):
        assert (await ended(again, job)).state is JobState.SUCCEEDED
    assert workshop.calls.count(running.id) == 2
    assert workshop.orders[running.id] == running.order
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_performer_that_ends_while_the_queue_closes_is_not_lost(place, workshop, opened):
    queue = await opened(place, workshop)
    job = await queue.submit(order(hold="gate", stubborn="yes"))
    await workshop.begun[job.id].wait()
    await queue.aclose()
    again = await opened(place, workshop)
    workshop.gates["gate"].set()
    assert (await ended(again, job)).state is JobState.SUCCEEDED


async def test_a_result_that_was_kept_is_never_made_again(place, workshop, opened):
    """The process was killed after it kept the sound, and before DBOS heard of it."""
    queue = await opened(place, workshop)
    job = await queue.submit(order(hold="gate"))
    await workshop.begun[job.id].wait()
    document = {"state": "succeeded", "facts": {"n": 1}, "media_type": "audio/x", "ended": 1}
    await queue.in_thread(queue._tables.keep, job.id, document, b"first")
    await queue.aclose()
    again = await opened(place, workshop)
    done = await ended(again, job)
    assert done.facts == {"n": 1}
    assert (await again.audio("ann", job.id)).data == b"first"
    assert workshop.calls == [job.id]


async def test_a_job_that_ends_its_process_each_time_is_given_up(place, workshop, opened):
    queue = await opened(place, workshop, max_attempts=1)
    job = await queue.submit(order(hold="gate"))
    for _ in range(2):
        await workshop.begun[job.id].wait()
        workshop.begun[job.id].clear()
        await queue.aclose()
        queue = await opened(place, workshop, max_attempts=1)
    failed = await ended(queue, job)
    assert failed.state is JobState.FAILED
    assert failed.failure.error == "JobLost"
    assert failed.ended is not None
    assert len(workshop.calls) == 2


async def test_uploads_are_kept(queue):
    store = queue.uploads
    upload_id = await store.put("ann", b"\0recording\xff")
    assert await store.get("ann", upload_id) == b"\0recording\xff"
    assert await store.put("ann", b"\0recording\xff") == upload_id
    assert await store.put("ann", b"other") != upload_id
    assert await store.put("bob", b"\0recording\xff") != upload_id
    for owner, unknown in [("bob", upload_id), ("ann", "up_" + "0" * 48), ("ann", "\0")]:
        with pytest.raises(UploadNotFound):
            await store.get(owner, unknown)


async def test_what_is_old_is_removed_and_what_is_needed_stays(place, workshop, opened):
    limits = dict.fromkeys(JobKind, 0.1)
    queue = await opened(place, workshop, retention_seconds=0.001, time_limits=limits)
    needed = await queue.uploads.put("ann", b"needed")
    unused = await queue.uploads.put("ann", b"unused")
    held = await queue.submit(order(hold="gate", sample={"at": [needed]}, time_limit=60))
    old = await ended(queue, await queue.submit(order(hold="gate")))  # 0.1 s and more
    await queue.in_thread(queue._housekeeping.sweep)
    with pytest.raises(UploadNotFound):
        await queue.uploads.get("ann", unused)
    with pytest.raises(JobNotFound):
        await queue.get("ann", old.id)
    assert queue._tables.audio(old.id) is None
    assert await queue.uploads.get("ann", needed) == b"needed"
    assert (await queue.get("ann", held.id)).state is JobState.RUNNING


async def test_what_is_old_is_removed_by_and_by(place, workshop, opened):
    queue = await opened(place, workshop, retention_seconds=0.001, sweep_seconds=0.05)
    job = await queue.submit(order())

    async def watch_for_ever():
        while True:
            await until(queue, job, lambda state: state.state.ended)

    with pytest.raises(JobNotFound):
        await watch_for_ever()


async def test_owners_and_keys_may_be_anything(queue):
    for odd in ("", "\0", "é\ud800", "a'b\"c", "x" * 5000):
        job = await queue.submit(order(owner=odd, key=odd))
        assert (await queue.submit(order(owner=odd, key=odd))).id == job.id
        assert (await ended(queue, job)).order.owner == odd
