"""Whoever is killed, and when: each job that was accepted ends once, with its sound."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from storycore_tts.adapters.queue import DurableQueue
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.jobs import JobState

from .conftest import ended, order

WORKER = Path(__file__).with_name("worker.py")
RANDOM = random.Random(os.environ["STORYCORE_TTS_FAULT_SEED"])


class Worker:
    """A process of ``worker.py``; killed at the latest when the block ends."""

    def __init__(self, place, log, *, concurrency=4, seconds=0.05, mode="wait"):
        arguments = [place["state_dir"], place.get("database_url", ""), concurrency, seconds, log]
        self.process = subprocess.Popen(
            [sys.executable, WORKER, *map(str, arguments), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def ready(self):
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()
        return self

    def finish(self):
        _, errors = self.process.communicate(timeout=100)
        assert (self.process.returncode, errors) == (0, "")

    def kill_after(self, seconds):
        """Kill it at some moment; the moment is what is tested, whatever happens then."""
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        self.process.wait()
        timer.cancel()


def logged(log):
    """The jobs of a log, and how often each was started and ended."""
    lines = [line.split() for line in log.read_text().splitlines()]
    count = {what: Counter(line[1] for line in lines if line[0] == what) for what in
             ("start", "end")}  # fmt: skip
    return count["start"], count["end"]


async def nothing(job_id, order, report):
    raise AssertionError("this process does no jobs")


async def accepted(place, number):
    """Submit jobs for others to do."""

    async with DurableQueue(**place, concurrency={"draft": 0}) as queue:
        await queue.start(nothing)
        return [await queue.submit(order(str(n))) for n in range(number)]


async def check_all_ended_once(place, jobs, log):
    async with DurableQueue(**place, concurrency={"draft": 0}) as queue:
        await queue.start(nothing)
        for job in jobs:
            done = await queue.get("ann", job.id)
            assert done.state is JobState.SUCCEEDED
            assert (await queue.audio("ann", job.id)).data == job.id.encode()
        assert len(await queue.jobs("ann", limit=1000)) == len(jobs)
    starts, ends = logged(log)
    assert starts.keys() == ends.keys() == {job.id for job in jobs}
    return starts, ends


@pytest.mark.parametrize(
    "kills", [3, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
async def test_killed_processes_lose_no_job(place, tmp_path, kills, record_property):
    jobs = await accepted(place, 100)
    log = tmp_path / "log"
    log.touch()
    for _ in range(kills):
        with Worker(place, log) as worker:
            worker.ready().kill_after(RANDOM.uniform(0, 6 / kills))
    with Worker(place, log, mode="drain") as worker:
        worker.finish()
    starts, ends = await check_all_ended_once(place, jobs, log)
    lost = sum(starts.values()) - 100
    record_property("begun again", lost)
    record_property("made again", sum(ends.values()) - 100)
    assert lost <= 4 * kills  # those that were under way


async def test_a_killed_processs_results_are_not_made_again(folder, tmp_path):
    jobs = await accepted(folder, 30)
    log = tmp_path / "log"
    with Worker(folder, log) as worker:
        worker.ready().kill_after(1.0)
    async with DurableQueue(**folder, concurrency={"draft": 0}) as queue:
        await queue.start(nothing)
        done = {job.id for job in await queue.jobs("ann", state=JobState.SUCCEEDED)}
    before = logged(log)
    with Worker(folder, log, mode="drain") as worker:
        worker.finish()
    await check_all_ended_once(folder, jobs, log)
    after = logged(log)
    assert {job: after[0][job] for job in done} == {job: before[0][job] for job in done}


async def test_a_folder_is_one_processs(folder, tmp_path, workshop, opened):
    with Worker(folder, tmp_path / "log") as worker:
        worker.ready()
        with pytest.raises(StorageFailed, match="Another process") as caught:
            await opened(folder, workshop)
        assert "PostgreSQL" in caught.value.hint
        worker.process.kill()
        worker.process.wait()
        queue = await opened(folder, workshop)
        assert (await ended(queue, await queue.submit(order()))).state is JobState.SUCCEEDED


async def test_of_two_processes_one_is_killed(postgres_url, tmp_path):
    place = {"state_dir": tmp_path, "database_url": postgres_url}
    jobs = await accepted(place, 200)
    log = tmp_path / "log"
    with contextlib.ExitStack() as stack:
        # Slow, so that something is left for the second one, however long that takes to start.
        first = stack.enter_context(Worker(place, log, seconds=0.6)).ready()
        second = stack.enter_context(Worker(place, log, mode="drain")).ready()
        first.kill_after(2.0)
        second.finish()
    starts, _ = await check_all_ended_once(place, jobs, log)
    pids = Counter(line.split()[2] for line in log.read_text().splitlines() if line[:3] == "end")
    assert len(pids) == 2
    assert sum(starts.values()) - 200 <= 4


async def test_a_process_that_shares_is_told_of_cancellation(
    postgres_url, tmp_path, workshop, opened
):
    """Another process submits, watches and cancels what this one does."""
    place = {"state_dir": tmp_path, "database_url": postgres_url}
    log = tmp_path / "log"
    with Worker(place, log, seconds=60) as worker:
        worker.ready()
        queue = await opened(place, workshop, concurrency={"draft": 0})
        job = await queue.submit(order())
        async for state in queue.watch("ann", job.id):
            if state.progress:
                await queue.cancel("ann", job.id)
            last = state
        assert last.state is JobState.CANCELLED
        # It has room for four: if it goes on with the first one, the fifth has to wait.
        jobs = [await queue.submit(order(str(n))) for n in range(4)]
        for other in jobs:
            async for state in queue.watch("ann", other.id):
                if state.progress:
                    break
    starts, ends = logged(log)
    assert set(starts) == {job.id, *(other.id for other in jobs)}
    assert not ends
