"""A database that fails now and then loses no job, and has none done twice."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.adapters.queue import DurableQueue, tables
from storycore_tts.adapters.queue.claims import Claims
from storycore_tts.domain.jobs import SUSPENDED, JobState
from storycore_tts.errors import StorageFailed

from .conftest import ended, spec, until


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


async def test_a_process_that_is_taken_for_dead_ends_its_jobs_once(place, workshop, opened):
    """Its jobs go back into the queue, while it still does them: it goes on with them."""
    queue = await opened(place, workshop)
    jobs = [await queue.submit(spec(str(n), hold="gate")) for n in range(2)]
    for job in jobs:
        await workshop.begun[job.id].wait()
    await queue.in_thread(queue._claims.requeue)
    more = await queue.submit(spec())
    workshop.gates["gate"].set()
    for job in [*jobs, more]:
        assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert sorted(workshop.calls) == sorted(job.id for job in [*jobs, more])


@pytest.mark.parametrize("claims_again", ["it", "another"])
async def test_a_job_that_was_claimed_again_is_not_ended_by_an_older_claim(
    place, workshop, opened, claims_again
):
    """A process that was taken for dead goes on with what it claims itself, and only that."""
    queue = await opened(place, workshop, concurrency={"draft": 2}, intervals={"look": 0.05})
    job = await queue.submit(spec(hold="gate"))
    await workshop.begun[job.id].wait()
    other = Claims(queue._storage, "other", max_attempts=50)
    if claims_again == "it":
        await queue.in_thread(queue._claims.requeue)
        work = queue._works[job.id]
        while work.attempt == 1:
            await asyncio.sleep(0)
        workshop.gates["gate"].set()
        assert (await ended(queue, job)).state is JobState.SUCCEEDED
        return
    take = tables.jobs.update().values(worker="other", attempts=2)
    with queue._storage.writing() as connection:
        connection.execute(take)
    await workshop.ended[job.id].wait()
    assert workshop.cancelled[job.id] == (SUSPENDED,)  # what its backend does is not cancelled
    assert not other.finish(job.id, 1, {"state": "failed"}, b"", None)
    assert (await queue.get("ann", job.id)).state is JobState.RUNNING
    assert other.finish(job.id, 2, {"state": "succeeded"}, b"", None)
    assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert workshop.calls == [job.id]


class Unsure(DurableQueue):
    """Is told that its first claim failed, although the database has written it."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        claim, told = self._claims.claim, []

        def claims(room):
            found = claim(room)
            if found and not told:
                told.append(found)
                raise StorageFailed("The connection broke.")
            return found

        self._claims.claim = claims


async def test_a_job_whose_claim_was_not_confirmed_is_done(place, workshop, opened):
    queue = await opened(place, workshop, Unsure)
    job = await queue.submit(spec())
    assert (await ended(queue, job)).state is JobState.SUCCEEDED
    assert workshop.calls == [job.id]


async def test_two_databases_make_other_ids(tmp_path, workshop, opened):
    ids = []
    for name in ("one", "two"):
        queue = await opened({"state_dir": tmp_path / name}, workshop)
        job = await queue.submit(spec(key="k"))
        ids.append((job.id, await queue.uploads.put("ann", b"x")))
        await queue.aclose()
    assert ids[0][0] != ids[1][0]
    assert ids[0][1] != ids[1][1]


async def test_processes_that_begin_at_once_make_one_set_of_tables_and_one_secret(place, opened):
    queues = await asyncio.gather(
        *(opened(place, None, concurrency={}, share=True) for _ in range(4))
    )
    assert len({queue._identifiers.job("ann", "key") for queue in queues}) == 1
