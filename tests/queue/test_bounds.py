"""What grows has a bound, also where many processes share a database."""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from storycore_tts.adapters.queue.repository import JobRepository
from storycore_tts.adapters.queue.runtime import Runtime
from storycore_tts.adapters.queue.storage import Storage
from storycore_tts.adapters.queue.tables import Tables
from storycore_tts.domain.jobs import JobState, TooManyJobs

from .conftest import spec
from .test_properties import Memory, documents, entry

MOST = 3
PROCESSES = 2


@pytest.fixture
def processes(place):
    """The ledgers of some processes, without the rest of them."""
    made = []
    for number in range(PROCESSES if "database_url" in place else 1):
        storage = Storage(place.get("database_url"), place["state_dir"])
        runtime = Runtime(storage, f"process {number}", {}, 1.0, 1)
        runtime.prepare()
        made.append((storage, runtime, JobRepository(runtime, Tables(storage), MOST)))
        made[-1][2].open()
    yield [ledger for _, _, ledger in made]
    for storage, runtime, _ in made:
        runtime.destroy()
        storage.close()


def test_all_who_submit_at_once_keep_the_bound_together(processes):
    """In two processes, or in one whose caller was cancelled and whose thread goes on."""
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


def test_a_deep_page_holds_little_more_than_the_page():
    """DBOS cannot tell a success from a failure: jobs are read one after the other."""
    given, most = [], [0]
    outcome = {"state": "succeeded", "facts": {}, "media_type": "", "ended": 0}

    class Many(Memory):
        def page(self, owner, statuses, *, limit, offset):
            most[0] = max(most[0], sum(one() is not None for one in given))
            found = [
                entry(documents.spec_to_json(spec(str(n))), id=str(n), status="SUCCESS",
                      outcome=outcome)
                for n in range(offset, min(offset + limit, 3000))
            ]  # fmt: skip
            given.extend(map(weakref.ref, found))
            return found

    ledger = JobRepository(Many(), Many(), MOST)
    ledger.open()
    page = ledger.page("ann", JobState.SUCCEEDED, 10, 2500)
    assert sorted(int(job.id) for job in page) == list(range(2500, 2510))
    assert most[0] <= 500
