"""When a consent is revoked, its jobs end and the copies of the recording go."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.adapters.queue import tables, withdraw_from
from storycore_tts.domain.jobs import Failure, JobKind, JobState, UploadNotFound, Withdrawn
from storycore_tts.errors import StorageFailed

from .conftest import ended, spec

ID = "ab" * 16
REFUSED = Failure("ConsentRefused", "It was revoked.", "Ask again.")
RECORDING = b"RIFF the voice of Mia"


def of_voice(reference="", consent=ID, owner="ann", **details):
    request = {
        "text": "Hi.",
        "reference": reference,
        "voice_consent": {"voice": "Mia", "id": consent},
    }
    return spec(kind=JobKind.CLONE, request=request, owner=owner, **details)


async def test_waiting_and_running_jobs_fail_and_no_other(place, workshop, opened):
    queue = await opened(place, workshop, concurrency={"draft": 1})
    done = await queue.submit(of_voice())
    await ended(queue, done)
    running = await queue.submit(of_voice(hold="gate"))
    await workshop.begun[running.id].wait()
    waiting = [await queue.submit(of_voice(owner=owner)) for owner in ("ann", "bob")]
    named = await queue.submit(spec(f"I say {ID}.", request={"text": f"I say {ID}."}))
    other = await queue.submit(of_voice(consent="cd" * 16))
    found = await queue.withdraw(ID, RECORDING, REFUSED)
    assert found == Withdrawn((running.id, *(job.id for job in waiting)), (done.id,))
    for job in (running, *waiting):
        job = await ended(queue, job)
        assert (job.state, job.failure) == (JobState.FAILED, REFUSED)
    await workshop.ended[running.id].wait()
    assert workshop.cancelled[running.id]
    for job in (named, other):
        assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert workshop.calls.count(waiting[0].id) == 0
    assert (await queue.audio("ann", done.id)).data == b"RIFF"


async def test_a_running_job_that_ignores_its_end_delivers_nothing(place, workshop, opened):
    queue = await opened(place, workshop, intervals={"stop": 0.05})
    running = await queue.submit(of_voice(hold="gate", stubborn=True))
    await workshop.begun[running.id].wait()
    await queue.withdraw(ID, RECORDING, REFUSED)
    await workshop.ended[running.id].wait()
    assert (await ended(queue, running)).failure == REFUSED


async def test_all_copies_of_the_recording_go_and_no_other(place, workshop, opened):
    queue = await opened(place, workshop)
    copies = [await queue.uploads.put(owner, RECORDING) for owner in ("ann", "bob")]
    derived = await queue.uploads.put("ann", b"another file of a job in this voice")
    other = await queue.uploads.put("ann", b"x" * len(RECORDING))
    await queue.submit(of_voice(derived))
    await queue.withdraw(ID, RECORDING, REFUSED)
    for owner, upload in (("ann", copies[0]), ("bob", copies[1]), ("ann", derived)):
        with pytest.raises(UploadNotFound):
            await queue.uploads.get(owner, upload)
    assert await queue.uploads.get("ann", other)


async def test_a_damaged_job_that_may_be_in_the_voice_is_named(place, workshop, opened):
    queue = await opened(place, workshop)
    await ended(queue, await queue.submit(of_voice()))
    with queue._storage.writing() as connection:
        connection.execute(tables.jobs.update().values(spec=f'["{ID}"]'))
    with pytest.raises(StorageFailed, match="damaged, or another version"):
        await queue.withdraw(ID, RECORDING, REFUSED)


async def test_without_a_consent_no_job_is_touched(place, workshop, opened):
    queue = await opened(place, workshop)
    job = await queue.submit(of_voice())
    assert await queue.withdraw("", b"", REFUSED) == Withdrawn()
    assert (await ended(queue, job)).state is JobState.SUCCEEDED


async def test_a_process_without_a_queue_ends_the_jobs_of_one_that_runs(place, workshop, opened):
    queue = await opened(place, workshop)
    running = await queue.submit(of_voice(hold="gate"))
    await workshop.begun[running.id].wait()
    url = place.get("database_url")
    found = await asyncio.to_thread(withdraw_from, place["state_dir"], url, ID, RECORDING, REFUSED)
    assert found.ended == (running.id,)
    await workshop.ended[running.id].wait()  # the queue notices
    assert (await ended(queue, running)).failure == REFUSED


async def test_the_same_request_under_a_renewed_consent_is_the_same_job(queue):
    first = await queue.submit(of_voice(key="k"))
    again = await queue.submit(of_voice(consent="cd" * 16, key="k"))
    assert again.id == first.id
