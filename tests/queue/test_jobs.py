"""What owners are told of their jobs, which is the same in every database."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from storycore_tts.adapters.queue import DurableQueue, tables
from storycore_tts.domain.jobs import (
    Failure,
    IdempotencyConflict,
    JobKind,
    JobNotFound,
    JobNotReady,
    JobSpec,
    JobState,
)
from storycore_tts.errors import InvalidRequest, StorageFailed
from storycore_tts.ports import JobAffinityStore, JobQueue, UploadStore

from .conftest import ended, spec, until


async def collected(stream):
    return [item async for item in stream]


async def test_it_is_what_the_ports_ask_for_and_a_job_without_a_sound_has_none(queue):
    assert isinstance(queue, JobQueue)
    assert isinstance(queue.uploads, UploadStore)
    assert isinstance(queue.affinities, JobAffinityStore)
    job = await ended(queue, await queue.submit(spec(sound="")))
    assert (job.state, job.media_type) == (JobState.SUCCEEDED, "")
    with pytest.raises(JobNotReady, match="no audio"):
        await queue.audio("ann", job.id)


async def test_an_error_of_ours_is_kept_as_it_is(queue):
    job = await ended(queue, await queue.submit(spec(fail="on purpose")))
    assert job.state is JobState.FAILED
    assert job.failure == Failure("OutOfMemory", "The GPU is full.", "Wait.", "draft", False)
    assert job.facts == {}
    assert await queue.cancel("ann", job.id) == job  # it stays as it is
    with pytest.raises(JobNotReady):
        await queue.audio("ann", job.id)


async def test_a_bug_is_logged_and_not_told(queue, caplog):
    with caplog.at_level(logging.INFO):
        job = await ended(queue, await queue.submit(spec("Private words.", fail="bug")))
    assert job.state is JobState.FAILED
    assert job.failure.error == "InternalError"
    assert "internals" not in f"{job.failure}"
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.levelno == logging.ERROR
    assert job.id in record.getMessage()
    assert "in _do" in record.getMessage()
    assert "Private" not in caplog.text


async def test_nobody_sees_the_jobs_of_others_and_what_is_no_id_is_no_job(queue):
    job = await ended(queue, await queue.submit(spec()))
    for ask in (queue.get, queue.cancel, queue.audio):
        with pytest.raises(JobNotFound):
            await ask("bob", job.id)
    with pytest.raises(JobNotFound):
        await collected(queue.watch("bob", job.id))
    assert await queue.jobs("bob") == []
    assert (await queue.get("ann", job.id)).state is JobState.SUCCEEDED
    spellings = [job.id.upper(), f"{{{job.id}}}", job.id.replace("-", "")]
    for job_id in ["", "x", "../a", "0" * 36, "\0", "é", "f" * 10_000, "%", *spellings]:
        with pytest.raises(JobNotFound):
            await queue.get("ann", job_id)


async def test_orders_that_cannot_be_kept_are_refused(queue):
    with pytest.raises(InvalidRequest, match="'other'"):
        await queue.submit(JobSpec(JobKind.SPEECH, "other", {}, "ann"))
    for value in (float("nan"), b"1", {1, 2}, 10**5000):
        with pytest.raises(InvalidRequest, match="JSON"):
            await queue.submit(spec(x=value))
    job = await queue.submit(spec(key="k"))
    for other in (
        spec("Else.", key="k"),
        spec(kind=JobKind.CLONE, key="k"),
        spec(priority=1, key="k"),
        spec(time_limit=5, key="k"),
        spec(key="k", more=1),
    ):
        with pytest.raises(IdempotencyConflict):
            await queue.submit(other)
    assert [found.id for found in await queue.jobs("ann")] == [job.id]


async def test_a_handler_that_ignores_cancellation_succeeds_for_nobody(queue, workshop):
    job = await queue.submit(spec(hold="gate", stubborn="yes"))
    await workshop.begun[job.id].wait()
    await queue.cancel("ann", job.id)
    await workshop.ended[job.id].wait()
    await ended(queue, await queue.submit(spec()))
    assert (await queue.get("ann", job.id)).state is JobState.CANCELLED
    with pytest.raises(JobNotReady):
        await queue.audio("ann", job.id)


async def test_each_kind_has_a_time_limit(folder, workshop, opened):
    limits = {JobKind.SPEECH: 0.2, JobKind.TRAINING: 60}
    queue = await opened(folder, workshop, time_limits=limits)
    slow = await queue.submit(spec(hold="gate", kind=JobKind.TRAINING))
    job = await ended(queue, await queue.submit(spec(hold="gate")))
    assert job.failure.error == "BackendTimeout"
    assert (await queue.get("ann", slow.id)).state is JobState.RUNNING


async def test_watchers_see_each_change_and_leave_nothing(queue, workshop):
    job = await queue.submit(spec(hold="gate", progress=[0.25, 0.5]))
    watchers = [asyncio.ensure_future(collected(queue.watch("ann", job.id))) for _ in range(20)]
    leaver = asyncio.ensure_future(ended(queue, job))
    seen = []
    async for state in queue.watch("ann", job.id):
        seen.append(state)
        if state.progress is not None:
            leaver.cancel()
            workshop.gates["gate"].set()
    order_of_states = list(dict.fromkeys(state.state for state in seen))
    assert order_of_states in (
        [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED],
        [JobState.RUNNING, JobState.SUCCEEDED],
    )
    running = [s.progress for s in seen if s.state is JobState.RUNNING and s.progress]
    assert [progress.fraction for progress in running] == [0.5]
    assert all(one != other for one, other in zip(seen, seen[1:]))  # noqa: B905, RUF007 - Python 3.10
    for states in await asyncio.gather(*watchers):
        assert states[-1].state is JobState.SUCCEEDED
    assert [s.state for s in await collected(queue.watch("ann", job.id))] == [JobState.SUCCEEDED]
    with pytest.raises(asyncio.CancelledError):
        await leaver
    assert not queue._watching._waiting
    assert not queue._watching._seen
    assert not queue._works


async def test_a_job_that_ends_its_process_each_time_is_given_up(folder, workshop, opened):
    """An orderly end of the process does not count."""

    class Killed(DurableQueue):
        def _shut(self):
            with self._storage.writing() as connection:  # what a killed process leaves
                connection.execute(tables.jobs.update().values(worker="killed"))
            super()._shut()

    queue = await opened(folder, workshop, max_attempts=2)
    job = await queue.submit(spec(hold="gate"))
    for kind in (DurableQueue, Killed, Killed, DurableQueue):
        await workshop.begun[job.id].wait()
        workshop.begun[job.id].clear()
        await queue.aclose()
        queue = await opened(folder, workshop, kind, max_attempts=2)
    failed = await ended(queue, job)
    assert failed.state is JobState.FAILED
    assert failed.failure.error == "JobLost"
    assert failed.ended is not None
    assert len(workshop.calls) == 4


async def test_an_owner_removes_what_has_ended_and_nothing_else(queue, workshop):
    waiting = await queue.submit(spec(hold="gate"))
    with pytest.raises(JobNotReady, match="has not ended"):
        await queue.remove("ann", waiting.id)
    job = await ended(queue, await queue.submit(spec()))
    with pytest.raises(JobNotFound):
        await queue.remove("bob", job.id)
    assert await queue.remove("ann", job.id) == job
    with pytest.raises(JobNotFound):
        await queue.audio("ann", job.id)


async def test_what_is_old_is_removed_by_and_by(folder, workshop, opened):
    queue = await opened(folder, workshop, retention_seconds=0.001, intervals={"sweep": 0.05})
    job = await queue.submit(spec())

    async def watch_for_ever():
        while True:
            await until(queue, job, lambda state: state.state.ended)

    with pytest.raises(JobNotFound):
        await watch_for_ever()


async def test_jobs_of_a_newer_format_are_left_to_newer_processes(queue, workshop):
    """During an upgrade both use the database."""
    waiting = [await queue.submit(spec(hold="gate")) for _ in range(3)]
    newer = tables.jobs.update().where(tables.jobs.c.state == "queued").values(format=2)
    for job in waiting[:2]:
        await workshop.begun[job.id].wait()
    with queue._storage.writing() as connection:
        connection.execute(newer)
    workshop.gates["gate"].set()
    for job in waiting[:2]:
        await ended(queue, job)
    assert (await ended(queue, await queue.submit(spec()))).state is JobState.SUCCEEDED
    assert (await queue.get("ann", waiting[2].id)).state is JobState.QUEUED


async def test_a_job_that_cannot_be_read_fails_and_holds_up_no_other(queue, workshop):
    first = [await queue.submit(spec(hold="gate")) for _ in range(2)]
    broken = await queue.submit(spec())
    with queue._storage.writing() as connection:
        is_it = tables.jobs.c.id == broken.id
        connection.execute(tables.jobs.update().where(is_it).values(spec='{"kind":"song"}'))
    workshop.gates["gate"].set()
    for job in [*first, await queue.submit(spec())]:
        assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert await queue.counts() == {JobState.QUEUED: 0, JobState.RUNNING: 0}
    with pytest.raises(StorageFailed, match="another version"):
        await queue.get("ann", broken.id)


@pytest.mark.parametrize(
    "damage",
    [
        {"state": "paused"},
        {"progress": '{"stage":"dancing"}'},
        {"progress": "no JSON"},
        {"spec": "{"},
        {"created": 10**18},
        {"document": '{"failure":{"error":"New","message":"It broke.","advice":"Wait."}}'},
        {"document": "[1]"},
    ],
    ids=str,
)
async def test_what_cannot_be_read_is_said_to_be_so(queue, damage):
    broken = await ended(queue, await queue.submit(replace(spec(), idempotency_key="a key")))
    table, of_it = tables.jobs, tables.jobs.c.id == broken.id
    if "document" in damage:
        table, of_it = tables.results, tables.results.c.job_id == broken.id
    with queue._storage.writing() as connection:
        connection.execute(table.update().where(of_it).values(damage))
    again = queue.submit(replace(spec(), idempotency_key="a key"))
    for asking in (queue.get("ann", broken.id), again):
        with pytest.raises(StorageFailed, match="damaged, or another version"):
            await asking
    whole = await queue.submit(spec())
    assert [job.id for job in await queue.jobs("ann")] == [whole.id]


async def test_a_state_of_another_version_stops_its_job_and_no_other(queue, workshop):
    first, second = [await queue.submit(spec(hold="gate")) for _ in range(2)]
    await workshop.begun[second.id].wait()
    with queue._storage.writing() as connection:
        is_it = tables.jobs.c.id == first.id
        connection.execute(tables.jobs.update().where(is_it).values(state="paused"))
    await workshop.ended[first.id].wait()
    await queue.cancel("ann", second.id)
    await workshop.ended[second.id].wait()
    third = await queue.submit(spec(hold="another gate"))
    await workshop.begun[third.id].wait()
    with queue._storage.writing() as connection:  # as another process does
        is_it = tables.jobs.c.id == third.id
        connection.execute(tables.jobs.update().where(is_it).values(state="cancelled"))
    await workshop.ended[third.id].wait()


async def test_a_damaged_job_of_a_newer_version_does_not_end_the_sweeping(queue, workshop):
    await queue.uploads.put("ann", b"a recording")
    await workshop.begun[(await queue.submit(spec(hold="gate"))).id].wait()
    with queue._storage.writing() as connection:
        connection.execute(tables.uploads.update().values(used=0))
        connection.execute(tables.jobs.update().values(spec="[]", format=2))
    with pytest.raises(StorageFailed, match="damaged"):  # which is logged, and tried again later
        await queue.in_thread(queue._housekeeping.sweep)


async def test_a_backend_that_is_offered_later_gets_its_jobs_done(queue, workshop):
    late = replace(spec(), backend="comfyui")
    with pytest.raises(InvalidRequest):
        await queue.submit(late)
    queue.offer("comfyui", 1)
    job = await queue.submit(late)
    assert (await ended(queue, job)).state is JobState.SUCCEEDED
    queue.offer("comfyui", 1)
    assert workshop.calls == [job.id]
