"""What grows has a bound, also where many processes share a database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from storycore_tts.adapters.queue import tables
from storycore_tts.adapters.queue.identifiers import Identifiers
from storycore_tts.adapters.queue.repository import JobRepository
from storycore_tts.adapters.queue.storage import SCHEMA_LOCK, Storage
from storycore_tts.domain.jobs import TooManyJobs

from .conftest import spec

MOST = 3
PROCESSES = 2


@pytest.fixture
def processes(place):
    """The repositories of some processes, without the rest of them."""
    made = []
    for _ in range(PROCESSES):
        storage = Storage(place.get("database_url"), place["state_dir"])
        storage.open(share=True)
        with storage.writing(SCHEMA_LOCK) as connection:
            tables.metadata.create_all(connection)
        identifiers = Identifiers()
        identifiers.load(storage)
        made.append((storage, JobRepository(storage, identifiers, MOST)))
    yield [repository for _, repository in made]
    for storage, _ in made:
        storage.close()


def test_all_who_submit_at_once_keep_the_bound_together(processes):
    """In two processes, each with several threads."""
    tries = 8
    barrier = Barrier(tries)

    def submit(number):
        barrier.wait(60)
        try:
            return processes[number % len(processes)].accept(spec(str(number)))
        except TooManyJobs:
            return None

    with ThreadPoolExecutor(tries) as threads:
        answers = list(threads.map(submit, range(tries)))
    assert len([job for job in answers if job is not None]) == MOST
    assert len(processes[0].page("ann", None, 50, 0)) == MOST
