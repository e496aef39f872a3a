"""One job under way, and housekeeping, by a clock that jumps: no database, no waiting."""

from __future__ import annotations

import asyncio

import pytest

from storycore_tts.adapters.queue import documents
from storycore_tts.adapters.queue.claims import Claim
from storycore_tts.adapters.queue.housekeeping import Housekeeping
from storycore_tts.adapters.queue.waiting import Intervals
from storycore_tts.adapters.queue.work import JobRun
from storycore_tts.domain.jobs import SUSPENDED, JobKind
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.errors import StorageFailed

from .conftest import spec

pytestmark = pytest.mark.virtual_clock


class Memory:
    """Keeps what is written about the job, and fails for as long as a test says."""

    def __init__(self):
        self.news = []
        self.document = self.progress = None
        self.fails_until = 0.0

    def note(self, job_id, attempt, progress):
        self.news.append(fraction(progress))

    def finish(self, job_id, attempt, document, audio, progress):
        if now() < self.fails_until:
            raise StorageFailed("The disk is full.")
        self.document, self.progress = document, fraction(progress)
        return True


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def begun(memory, workshop):
    """Begins a job: its work and the task."""

    async def in_thread(function, *arguments):
        return function(*arguments)

    def begin(perform=workshop, time_limit=60.0, **details):
        claim = Claim("job", 1, "draft", documents.spec_to_json(spec(**details)))
        limits = {JobKind.SPEECH: time_limit}
        work = JobRun(claim, limits, Intervals(), memory, in_thread, lambda: None)
        return work, asyncio.ensure_future(work.run(perform))

    return begin


def now():
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("stubborn", [{}, {"stubborn": "yes"}])
async def test_a_job_that_takes_too_long_is_stopped(begun, memory, workshop, stubborn):
    _, task = begun(time_limit=3600.0, hold="gate", **stubborn)
    await task
    assert memory.document["state"] == "failed"
    assert memory.document["failure"]["error"] == "BackendTimeout"
    assert "3600 s" in memory.document["failure"]["message"]
    assert workshop.cancelled["job"] == ("time limit",)
    assert now() == 3600


async def test_a_handler_that_does_not_stop_is_left_behind(begun, memory, caplog):
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def perform(job_id, spec, report):
        report(Progress(Stage.GENERATING, 0.1))
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue
        report(Progress(Stage.GENERATING, 0.9))
        ended.set()

    work, task = begun(perform, time_limit=5.0)
    await task
    assert memory.document["failure"]["error"] == "BackendTimeout"
    assert now() == 15
    assert 'job.does_not_stop job=job reason="time limit"' in caplog.text
    may_end.set()
    await ended.wait()
    assert (memory.news, memory.progress) == ([0.1], 0.1)
    assert work.progress == Progress(Stage.GENERATING, 0.1)


@pytest.mark.parametrize("end", ["", "on purpose"])
async def test_the_last_progress_is_written_with_the_end(begun, memory, workshop, end):
    """What was reported before is written now and then, and not each time."""
    _, task = begun(hold="gate", fail=end, progress=[0.1, 0.2], last_progress=[0.4, 0.9])
    await workshop.begun["job"].wait()
    await asyncio.sleep(1)
    workshop.gates["gate"].set()
    await task
    assert (memory.news, memory.progress) == ([0.2], 0.9)


@pytest.mark.parametrize(("seconds", "state"), [(599, "succeeded"), (700, None)])
async def test_a_database_that_fails_is_waited_for_but_not_for_ever(
    begun, memory, caplog, seconds, state
):
    memory.fails_until = seconds
    work, task = begun()
    await task
    assert (memory.document or {}).get("state") == state
    assert work.is_recorded == (state is not None)
    assert now() == pytest.approx(min(seconds, 601))
    assert ("job.outcome_lost" in caplog.text) == (state is None)


async def test_a_job_that_is_claimed_again_while_its_end_is_written_is_ended(begun, memory):
    """The number of the newer claim is tried, once it is known."""
    work, _ = begun()
    tried = []

    def finish(job_id, attempt, *rest):
        tried.append(attempt)
        work.attempt = 2  # the claim is confirmed
        return attempt == 2

    memory.finish = finish
    await asyncio.sleep(1)
    assert (tried, work.is_recorded) == ([1, 2], True)


async def test_a_handler_that_cancels_itself_has_failed(begun, memory):
    _, task = begun(fail="cancelled")
    await task
    assert memory.document["failure"]["error"] == "InternalError"


async def test_suspended_work_does_not_wait_for_the_database(begun, memory):
    memory.fails_until = 100
    work, task = begun()
    await asyncio.sleep(1.5)
    work.stop(SUSPENDED)
    await task
    assert memory.document is None
    assert now() == 1.5


async def test_cancelled_work_waits_for_its_handler_and_stays_cancelled(begun):
    heard = []

    async def perform(job_id, spec, report):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as error:
            heard.append(error.args)
            await asyncio.sleep(3)  # to tell its server
            heard.append("ended")
            raise

    _, task = begun(perform)
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == [(SUSPENDED,), "ended"]
    assert now() == 4


async def test_what_is_too_old_is_swept_again_and_again_though_the_database_fails():
    swept = []

    async def in_thread(function):
        swept.append(now())
        raise StorageFailed("The disk is full.")

    housekeeping = Housekeeping(None, keep_jobs=1.0, keep_uploads=1.0)
    task = asyncio.ensure_future(housekeeping.run(in_thread, 600.0))
    await asyncio.sleep(6000)
    task.cancel()
    gaps = [later - earlier for earlier, later in zip([0.0, *swept], swept)]  # noqa: B905 - 3.10
    assert len(gaps) >= 8
    assert all(480 <= gap <= 720 for gap in gaps)
    assert len(set(gaps)) > 1  # not at the same time as other processes


def fraction(text):
    progress = documents.progress_from_json(text)
    return progress and progress.fraction
