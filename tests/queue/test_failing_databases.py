"""A database that fails now and then loses no job, and has none done twice."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.jobs import JobState

from .conftest import ended, migrate, spec, until


class Server:
    """What its administrator does to a database."""

    def __init__(self, databases, url):
        self._run = databases.run
        self._name = url.rpartition("/")[2].partition("?")[0]

    def cut(self):
        """End all connections."""
        self._run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                  self._name)  # fmt: skip

    def refuse(self, really):
        self._run(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS {not really}")
        if really:
            self.cut()


@pytest.fixture
def server(postgres_databases, shared):
    return Server(postgres_databases, shared["database_url"])


async def test_connections_that_break_lose_no_job(shared, server, workshop, opened):
    queue = await opened(shared, workshop)
    jobs = [await queue.submit(spec(str(n), hold=f"gate {n}")) for n in range(5)]
    for number, job in enumerate(jobs):
        await workshop.begun[job.id].wait()
        if number % 3 == 0:
            server.cut()
        workshop.gates[f"gate {number}"].set()
    for job in jobs:
        for _ in range(20):  # a look at it may fail, too
            try:
                assert (await ended(queue, job)).state is JobState.SUCCEEDED
                break
            except StorageFailed:
                continue
    assert sorted(workshop.calls) == sorted(job.id for job in jobs)


async def test_a_server_that_is_gone_for_a_while_delays_and_no_more(
    shared, server, workshop, opened, caplog
):
    """A watcher waits for it, too; at the end the queue closes without it."""
    queue = await opened(shared, workshop)
    job = await queue.submit(spec(hold="gate"))
    watching = asyncio.ensure_future(ended(queue, job))
    await workshop.begun[job.id].wait()
    await until(queue, job, lambda state: state.state is JobState.RUNNING)
    server.refuse(True)
    with pytest.raises(StorageFailed) as caught:
        await queue.submit(spec())
    assert caught.value.hint
    workshop.gates["gate"].set()
    await workshop.ended[job.id].wait()
    queue._watching.changed(job.id)
    with pytest.raises(StorageFailed):
        await queue.get("ann", job.id)
    with pytest.raises(StorageFailed):  # who asks anew is told
        await ended(queue, job)
    server.refuse(False)
    assert (await watching).state is JobState.SUCCEEDED
    assert (await ended(queue, await queue.submit(spec()))).state is JobState.SUCCEEDED
    assert workshop.calls.count(job.id) == 1
    assert len(await queue.jobs("ann")) == 2
    server.refuse(True)
    await queue.aclose()
    assert "queue.database_fails" in caplog.text


async def test_whoever_is_taken_for_dead_ends_its_jobs_once(place, workshop, opened):
    """Its jobs go back into the queue, while it still does them: it joins itself."""
    queue = await opened(place, workshop)
    jobs = [await queue.submit(spec(str(n), hold="gate")) for n in range(2)]
    for job in jobs:
        await workshop.begun[job.id].wait()
    await queue.in_thread(queue._runtime.recover, queue._runtime.executor)
    more = await queue.submit(spec())
    workshop.gates["gate"].set()
    for job in [*jobs, more]:
        assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert sorted(workshop.calls) == sorted(job.id for job in [*jobs, more])
    await queue.aclose()
    assert workshop.at_once == 0


async def with_a_job_of(executor, place, workshop, opened, **arguments):
    """A queue, what takes its one place, and a job that ``executor`` does, says the database.

    None stands for the queue's own.
    """
    queue = await opened(place, workshop, concurrency={"draft": 1}, **arguments)
    held = await queue.submit(spec(hold="gate"))
    await workshop.begun[held.id].wait()
    job = await queue.submit(spec())
    schema = "storycore_tts_dbos." if "database_url" in place else ""
    claim = sa.text(f"UPDATE {schema}workflow_status SET status = 'PENDING', "
                    "executor_id = :executor WHERE workflow_uuid = :id")  # fmt: skip
    with queue._storage.jobs.begin() as connection:
        who = queue._runtime.executor if executor is None else executor
        connection.execute(claim, {"id": job.id, "executor": who})
    return queue, held, job


REFUSES = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refuses BEFORE UPDATE ON storycore_tts_dbos.workflow_status
    FOR EACH ROW WHEN (OLD.executor_id = 'dead') EXECUTE FUNCTION refuse()
"""


async def test_the_jobs_of_a_dead_member_are_taken_over_as_soon_as_that_works(
    shared, workshop, opened
):
    """It does not after a failover, to a server that takes no writes yet."""
    queue, _, job = await with_a_job_of("dead", shared, workshop, opened)
    with queue._storage.jobs.begin() as connection:
        connection.execute(sa.text(REFUSES))
    await queue.in_thread(queue._tables.join, "dead")
    with pytest.raises(StorageFailed):
        await queue.in_thread(queue._membership._take_over, "dead")
    assert "dead" in queue._tables.executors()
    with queue._storage.jobs.begin() as connection:
        connection.execute(sa.text("DROP FUNCTION refuse CASCADE"))
    workshop.gates["gate"].set()
    assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert list(queue._tables.executors()) == [queue._runtime.executor]


async def test_a_job_that_nobody_does_is_taken_up_again(place, workshop, opened):
    """DBOS took it from the queue, and failed to begin."""
    lost = {"lost": 0.2}
    queue, held, job = await with_a_job_of(None, place, workshop, opened, intervals=lost)
    workshop.gates["gate"].set()
    assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert workshop.calls == [held.id, job.id]


async def test_two_databases_make_other_ids(tmp_path, workshop, opened):
    ids = []
    for name in ("one", "two"):
        queue = await opened({"state_dir": tmp_path / name}, workshop)
        job = await queue.submit(spec(key="k"))
        ids.append((job.id, await queue.uploads.put("ann", b"x")))
        await queue.aclose()
    assert ids[0][0] != ids[1][0]
    assert ids[0][1] != ids[1][1]


async def test_processes_that_begin_at_once_make_one_set_of_tables_and_one_secret(
    postgres_url, tmp_path
):
    place = {"state_dir": tmp_path, "database_url": postgres_url}
    queues = [DurableQueue(**place, concurrency={}) for _ in range(4)]

    def prepare(queue):
        migrate(**place)
        return queue._tables.secret()

    secrets = await asyncio.gather(*(queue.in_thread(prepare, queue) for queue in queues))
    assert len(set(secrets)) == 1
    for queue in queues:
        await queue.aclose()
        queue._storage.close()
