"""Several processes share a database: its bound holds, and each job is claimed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from storycore_tts.adapters.queue import tables
from storycore_tts.adapters.queue.claims import Claims
from storycore_tts.adapters.queue.identifiers import Identifiers
from storycore_tts.adapters.queue.repository import JobRepository
from storycore_tts.adapters.queue.storage import SCHEMA_LOCK, Storage
from storycore_tts.domain.jobs import TooManyJobs

from .conftest import spec

MOST = 3
PROCESSES = 2


@pytest.fixture
def processes(place):
    """The storages and repositories of some processes, without the rest of them."""
    made = []
    for _ in range(PROCESSES):
        storage = Storage(place.get("database_url"), place["state_dir"])
        storage.open(share=True)
        with storage.writing(SCHEMA_LOCK) as connection:
            tables.metadata.create_all(connection)
        identifiers = Identifiers()
        identifiers.load(storage)
        made.append((storage, JobRepository(storage, identifiers, MOST)))
    yield made
    for storage, _ in made:
        storage.close()


def test_all_who_submit_at_once_keep_the_bound_together(processes):
    """In two processes, each with several threads."""
    tries = 8
    barrier = Barrier(tries)

    def submit(number):
        barrier.wait(60)
        try:
            return processes[number % PROCESSES][1].accept(spec(str(number)))
        except TooManyJobs:
            return None

    with ThreadPoolExecutor(tries) as threads:
        answers = list(threads.map(submit, range(tries)))
    assert len([job for job in answers if job is not None]) == MOST
    assert len(processes[0][1].page("ann", None, 50, 0)) == MOST


def test_a_job_is_claimed_by_one_process(processes):
    """All claim at once, again and again, until there is nothing left."""
    storage, _ = processes[0]
    identifiers = Identifiers()
    identifiers.load(storage)
    repository = JobRepository(storage, identifiers, 1000)
    jobs = [repository.accept(spec(str(number))).id for number in range(40)]
    barrier = Barrier(4)

    def claim(number):
        claims = Claims(processes[number % PROCESSES][0], str(number), 10)
        barrier.wait(60)
        taken = []
        while found := claims.claim({"draft": 1}):
            taken += [one.job_id for one in found]
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [job_id for part in threads.map(claim, range(4)) for job_id in part]
    assert sorted(taken) == sorted(jobs)
