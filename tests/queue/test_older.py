"""Databases that earlier versions wrote, with DBOS, are taken over: no job is lost."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import psycopg
import pytest

from storycore_tts.adapters.queue.members import try_lock
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import JobState
from storycore_tts.errors import StorageFailed

from .conftest import ended, spec

JOBS, STORE = (
    Path(__file__).with_name("older").joinpath(name).read_text("utf-8")
    for name in ("jobs.sql", "store.sql")
)
NAMES = ["urgent", "queued", "running", "kept", "cancelled", "failed", "succeeded"]
ENDED = {
    "kept": JobState.SUCCEEDED,
    "cancelled": JobState.CANCELLED,
    "failed": JobState.FAILED,
    "succeeded": JobState.SUCCEEDED,
}


@pytest.fixture
def old(place):
    """A place with a database of an earlier version, whose process was killed."""
    write(place)
    return place


def write(place):
    if "database_url" not in place:
        place["state_dir"].mkdir()
        for name, script in (("jobs", JOBS), ("store", STORE)):
            database = sqlite3.connect(place["state_dir"] / f"{name}.sqlite")
            database.executescript(script)
            database.close()
        return
    store = STORE.replace("BLOB", "BYTEA").replace("X'", "'\\x")
    with psycopg.connect(place["database_url"], autocommit=True) as database:
        database.execute(store.encode())
        database.execute("CREATE TABLE storycore_tts_executors (id TEXT, gone BOOLEAN)")
        database.execute("INSERT INTO storycore_tts_executors VALUES ('local', false)")
        database.execute("CREATE SCHEMA storycore_tts_dbos")
        database.execute(f"SET search_path = storycore_tts_dbos; {JOBS}".encode())


async def test_jobs_of_an_earlier_version_are_done_and_kept(old, workshop, opened):
    queue = await opened(old, workshop, concurrency={"draft": 1})
    for _ in range(2):
        found = {job.spec.details["text"]: job for job in await queue.jobs("ann")}
        assert list(found) == NAMES  # the youngest first
        for name, job in found.items():
            done = await ended(queue, job)
            assert done.state is ENDED.get(name, JobState.SUCCEEDED), name
        assert (await queue.audio("ann", found["kept"].id)).data == b"kept"
        assert (await queue.audio("ann", found["succeeded"].id)).data == b"succeeded"
        assert found["succeeded"].facts == {"text": "succeeded"}
        assert found["failed"].failure.error == "OutOfMemory"
        assert found["cancelled"].created <= found["cancelled"].ended
        await queue.aclose()
        queue = await opened(old, workshop)  # there is nothing left to take over
    texts = [workshop.specs[job_id].details["text"] for job_id in workshop.calls]
    assert texts == ["urgent", "running", "queued"]


async def test_keys_uploads_and_endpoints_of_an_earlier_version_stay(old, workshop, opened):
    queue = await opened(old, workshop, concurrency={"draft": 0})
    found = {job.spec.details["text"]: job for job in await queue.jobs("ann")}
    for name in ("succeeded", "running"):
        assert (await queue.submit(spec(name, key=name))).id == found[name].id
    upload_id = found["queued"].spec.details["sample"]
    assert await queue.uploads.get("ann", upload_id) == b"recording"
    endpoint = BackendEndpoint("http://gpu:8188")
    assert await queue.affinities.find(found["running"].id) == endpoint


async def test_a_takeover_that_is_interrupted_goes_on_where_it_was(
    folder, tmp_path, workshop, opened
):
    """The jobs were written into our table, and then the process was killed."""
    folder["state_dir"].mkdir()
    file = folder["state_dir"] / "jobs.sqlite"
    sqlite3.connect(file).executescript(JOBS).connection.close()
    shutil.copy(file, tmp_path / "copy")
    queue = await opened(folder, workshop)
    jobs = await queue.jobs("ann")
    for job in jobs:
        await ended(queue, job)
    before = await queue.jobs("ann")
    await queue.aclose()
    shutil.copy(tmp_path / "copy", file)
    queue = await opened(folder, workshop)
    assert await queue.jobs("ann") == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE workflow_input SET inputs = NULL", "jobs.sqlite are damaged"),
        ('UPDATE workflow_input SET inputs = \'{"args": [{"created": 5}]}\'', "are damaged"),
        ("UPDATE workflow_output SET output = '{'", "are damaged"),
        (None, r"jobs\.sqlite\) fails: file is not a database"),
    ],
)
async def test_damaged_jobs_of_an_earlier_version_are_said_to_be_so(
    folder, workshop, opened, damage, said
):
    folder["state_dir"].mkdir()
    file = folder["state_dir"] / "jobs.sqlite"
    if damage is None:
        file.write_bytes(b"no database" * 100)
    else:
        sqlite3.connect(file).executescript(f"{JOBS};{damage}").connection.close()
    with pytest.raises(StorageFailed, match=said):
        await opened(folder, workshop)


async def test_a_process_of_an_earlier_version_must_be_stopped_first(shared, workshop, opened):
    """It would do jobs that are moved away from under it."""
    write(shared)
    storage = Storage(shared["database_url"], shared["state_dir"])
    with storage.lone_connection() as living:
        assert try_lock(living, "local")
        with pytest.raises(StorageFailed, match="earlier version") as caught:
            await opened(shared, workshop)
        assert "Stop" in caught.value.hint
    storage.close()
    queue = await opened(shared, workshop)
    assert len(await queue.jobs("ann")) == len(NAMES)
