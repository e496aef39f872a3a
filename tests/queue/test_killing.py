"""Whoever is killed, and when: each job that was accepted ends once, with its sound."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from storycore_tts.domain.jobs import JobState
from storycore_tts.errors import StorageFailed

from .conftest import ended, spec, until

WORKER = Path(__file__).with_name("worker.py")
RANDOM = random.Random(os.environ["STORYCORE_TTS_FAULT_SEED"])
AT_ONCE = 4  # jobs that a worker does
NOBODY = {"concurrency": {"draft": 0}}


class Worker:
    """A process of ``worker.py``; killed at the latest when the block ends."""

    def __init__(self, place, log, mode="wait", *more):
        arguments = [place["state_dir"], place.get("database_url", ""), log]
        self.process = subprocess.Popen(
            [sys.executable, WORKER, *map(str, arguments), mode, *more],
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

    def finish(self, told=None):
        _, errors = self.process.communicate(told, timeout=100)
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
    return [Counter(job for what, job, _ in lines if what == wanted) for wanted in ("start", "end")]


async def nothing(job_id, spec, report):
    raise AssertionError("this process does no jobs")


async def check_all_ended_once(queue, jobs, log):
    for job in jobs:
        done = await ended(queue, job)
        assert done.state is JobState.SUCCEEDED
        assert (await queue.audio("ann", job.id)).data == job.id.encode()
    starts, ends = logged(log)
    assert ends.keys() == {job.id for job in jobs}
    return starts, ends


@pytest.mark.parametrize(
    "kills", [1, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
async def test_killed_processes_lose_no_job_and_make_no_result_again(
    place, opened, tmp_path, kills, record_property
):
    log = tmp_path / "log"
    queue = await opened(place, nothing, **NOBODY)
    jobs = [await queue.submit(spec(str(n))) for n in range(30 * kills)]
    await queue.aclose()
    kept = {}
    for _ in range(kills):
        with Worker(place, log) as worker:
            worker.ready()
            if "database_url" not in place:
                with pytest.raises(StorageFailed, match="Another process") as caught:
                    await opened(place, nothing)
                assert "PostgreSQL" in caught.value.hint
            worker.kill_after(RANDOM.uniform(0, 0.6))
        queue = await opened(place, nothing, **NOBODY)
        done = await queue.jobs("ann", state=JobState.SUCCEEDED, limit=1000)
        starts, _ = logged(log)
        kept |= {job.id: starts[job.id] for job in done if job.id not in kept}
        await queue.aclose()
    with Worker(place, log, mode="drain") as worker:
        worker.finish()
    queue = await opened(place, nothing, **NOBODY)
    assert len(await queue.jobs("ann", limit=1000)) == len(jobs)
    starts, ends = await check_all_ended_once(queue, jobs, log)
    begun_again = sum(starts.values()) - len(jobs)
    record_property("begun again", begun_again)
    record_property("made again", sum(ends.values()) - len(jobs))
    assert starts.keys() == ends.keys()
    assert begun_again <= AT_ONCE * kills  # those that were under way
    assert {job_id: starts[job_id] for job_id in kept} == kept


async def test_of_two_processes_one_is_told_to_cancel_and_one_is_killed(shared, opened, tmp_path):
    """A third one submits, watches and cancels what these do."""
    log = tmp_path / "log"
    queue = await opened(shared, nothing, **NOBODY)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(shared, log, mode="held")) for _ in range(2)]
        for worker in workers:
            await asyncio.to_thread(worker.ready)
        jobs = [await queue.submit(spec(str(n))) for n in range(3 * AT_ONCE)]
        for job in jobs[: 2 * AT_ONCE]:
            await until(queue, job, lambda state: state.progress)
        cancelled, waiting = jobs.pop(0), jobs[2 * AT_ONCE - 1]
        assert (await queue.cancel("ann", cancelled.id)).state is JobState.CANCELLED
        await until(queue, waiting, lambda state: state.progress)  # in its place

        first, second = workers
        first.process.kill()
        first.process.wait()
        second.process.stdin.write("go on\n")
        second.process.stdin.flush()
        starts, ends = await check_all_ended_once(queue, jobs, log)
        await asyncio.to_thread(second.finish)
    assert starts[cancelled.id] == 1
    assert sorted(starts.values()) == [1] * (2 * AT_ONCE) + [2] * AT_ONCE
    assert max(ends.values()) == 1
    assert (await queue.get("ann", cancelled.id)).state is JobState.CANCELLED


async def test_of_those_who_share_a_folder_another_goes_on_when_the_one_that_works_is_killed(
    folder, opened, workshop, tmp_path
):
    """Until then it takes jobs, watches and cancels them, and does none."""
    log = tmp_path / "log"
    with Worker(folder, log, "held", "share") as worker:
        await asyncio.to_thread(worker.ready)
        queue = await opened(folder, workshop, share=True, concurrency={"draft": AT_ONCE})
        cancelled, *jobs = [await queue.submit(spec(str(n))) for n in range(2 * AT_ONCE)]
        for job in (cancelled, *jobs[: AT_ONCE - 1]):
            await until(queue, job, lambda state: state.progress)
        assert (await queue.cancel("ann", cancelled.id)).state is JobState.CANCELLED
        await until(queue, jobs[AT_ONCE - 1], lambda state: state.progress)  # in its place
        assert not workshop.calls
        worker.process.kill()
        worker.process.wait()
        for job in jobs:
            assert (await ended(queue, job)).state is JobState.SUCCEEDED
    starts, ends = logged(log)
    assert (len(starts), len(ends)) == (AT_ONCE + 1, 0)
    assert sorted(workshop.calls) == sorted(job.id for job in jobs)
    assert (await queue.get("ann", cancelled.id)).state is JobState.CANCELLED


async def test_those_who_share_a_folder_may_come_at_the_same_time(tmp_path, opened, workshop):
    place = {"state_dir": tmp_path / "new"}
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(place, tmp_path / "log", "wait", "share")) for _ in range(3)
        ]
        for worker in workers:
            await asyncio.to_thread(worker.ready)
        queue = await opened(place, workshop, share=True)
        jobs = [await queue.submit(spec(str(n))) for n in range(6)]
        await check_all_ended_once(queue, jobs, tmp_path / "log")
        for worker in workers:
            await asyncio.to_thread(worker.finish)
    assert not workshop.calls
