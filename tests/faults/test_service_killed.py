"""SIGKILL while the service takes and does jobs: each accepted one is done, once, as it was asked.

Where it is killed follows from the seed in the environment; how its threads interleave does not.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from storycore_tts.testing.comfyui import StandInProcess
from storycore_tts.testing.service_process import ServiceProcess

from .lines import JOBS, PATIENCE, Line, client, ended, is_right

pytestmark = pytest.mark.once

SEED = int(os.environ["STORYCORE_TTS_FAULT_SEED"])
CLIENTS = 4


@dataclass
class Seen:
    """What the clients saw."""

    accepted: dict[str, Line] = field(default_factory=dict)  # by the id of the job
    unsure: Counter[str] = field(default_factory=Counter)  # texts whose connection broke
    heard: dict[Line, bytes] = field(default_factory=dict)  # sounds that were waited for
    refused: list[str] = field(default_factory=list)
    broken: int = 0


class Clients:
    """Ask for lines, a few at a time, as far as they may, however often the service goes away."""

    def __init__(self, service: ServiceProcess, lines: int) -> None:
        self.seen = Seen()
        self._service = service
        self._lines: Iterator[Line] = iter([Line(number) for number in range(lines)])
        self._allowed = asyncio.Semaphore(0)
        self._up = asyncio.Event()

    def allow(self, more: int) -> None:
        """Let them ask for some more lines."""
        for _ in range(more):
            self._allowed.release()

    def service_is(self, up: bool) -> None:
        """Tell them whether there is anybody to ask."""
        (self._up.set if up else self._up.clear)()

    async def work(self) -> None:
        """Ask for all lines."""
        await asyncio.gather(*(self._work() for _ in range(CLIENTS)))

    async def _work(self) -> None:
        while True:
            await self._allowed.acquire()
            line = next(self._lines, None)
            if line is None:
                self._allowed.release()  # for the others, who shall see that, too
                return
            await self._ask_until_sure(line)

    async def _ask_until_sure(self, line: Line) -> None:
        """Ask again with the same key; without one, ask for what may be a second job."""
        while True:
            await self._up.wait()
            try:
                async with client(self._service) as http:
                    answer = await http.post(**line.asked)
            except httpx.TransportError:
                self.seen.broken += 1
                if line.key is None:
                    self.seen.unsure[line.text] += 1
                continue
            if answer.status_code == 200:
                self.seen.heard[line] = answer.content
                return
            if answer.status_code == 202:
                self.seen.accepted[answer.json()["id"]] = line
                return
            self.seen.refused.append(f"{answer.status_code} {answer.text}")
            return


def service_at(folder: Path, comfyui: StandInProcess) -> ServiceProcess:
    return ServiceProcess(folder, comfyui_url=comfyui.url, server={"requests_per_minute": None})


async def killed_at_random(
    service: ServiceProcess,
    comfyui: StandInProcess,
    clients: Clients,
    chance: random.Random,
    records: int,
) -> None:
    """Kill it after so many more records of the server's log at most, and some ms."""
    before = len(comfyui.log.records)
    more = chance.randrange(records)
    await comfyui.log.until(lambda log: len(log.records) >= before + more, PATIENCE)
    await asyncio.sleep(chance.uniform(0, 0.05))  # in the middle of anything
    family = psutil.Process(service.pid).children(recursive=True)
    clients.service_is(up=False)
    await asyncio.to_thread(service.kill)
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
    assert not alive, "processes of its own outlived it"


async def started_at_last(service: ServiceProcess, chance: random.Random) -> None:
    """Start it; every other time it is killed while it starts."""
    if chance.random() < 0.5:
        await asyncio.to_thread(service.launch)
        await asyncio.sleep(chance.uniform(0.5, 4))  # while it imports, migrates, or recovers
        await asyncio.to_thread(service.kill)
    await asyncio.to_thread(service.start)


@pytest.mark.parametrize(
    ("lines", "kills"),
    [(10, 1), pytest.param(100, 20, marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
)
async def test_accepted_jobs_outlive_a_killed_service(
    tmp_path: Path, lines: int, kills: int
) -> None:
    """Killed again and again, it loses no job that it accepted, and has none generated twice."""
    chance = random.Random(SEED)
    with StandInProcess(data_dir=tmp_path / "comfyui") as comfyui:
        service = service_at(tmp_path / "service", comfyui)
        clients = Clients(service, lines)
        seen = clients.seen
        try:
            asking = asyncio.ensure_future(clients.work())
            await asyncio.to_thread(service.start)
            for _ in range(kills):
                clients.service_is(up=True)
                clients.allow(lines // (kills + 1) + 1)
                await killed_at_random(service, comfyui, clients, chance, 9 * lines // kills)
                await started_at_last(service, chance)
            clients.service_is(up=True)
            clients.allow(lines)
            await asyncio.wait_for(asking, PATIENCE)
            assert not seen.refused

            async with client(service) as http:
                await keys_name_the_same_jobs(http, seen, lines)
                listed = (await http.get(JOBS, params={"limit": 500})).json()["jobs"]
                jobs = {job["id"]: await ended(http, job["id"]) for job in listed}
                await each_is_its_own(http, seen, jobs)
        finally:
            service.kill()
        done_once(comfyui, jobs)
    unsure = len(jobs) - lines
    print(  # noqa: T201 - pytest -s shows the figures
        f"{lines} lines, {len(jobs)} jobs, {kills} kills, {seen.broken} connections broken, "
        f"{unsure} jobs accepted whose answer was lost, "
        f"{len(comfyui.log.submitted)} submissions to the server"
    )


async def keys_name_the_same_jobs(http: httpx.AsyncClient, seen: Seen, lines: int) -> None:
    """What has a key is one job, whoever asks, and however often."""
    for line in map(Line, range(lines)):
        if line.key is None:
            continue
        asked = line.asked
        asked["headers"]["Prefer"] = "respond-async"
        answer = await http.post(**asked)
        assert answer.status_code == 202, answer.text
        job_id = answer.json()["id"]
        assert seen.accepted.setdefault(job_id, line) == line
    assert len(seen.accepted) == lines


async def each_is_its_own(
    http: httpx.AsyncClient, seen: Seen, jobs: dict[str, dict[str, Any]]
) -> None:
    """Each ended well, and its sound says its own text."""
    assert seen.accepted.keys() <= jobs.keys(), "it lost a job that it had accepted"
    others = Counter(job["text"] for one, job in jobs.items() if one not in seen.accepted)
    assert others <= seen.unsure, "there are jobs that nobody asked for"
    lines = {line.text: line for line in seen.accepted.values()}
    for job_id, job in jobs.items():
        assert job["state"] == "succeeded", job
        line = lines[job["text"]]
        answer = await http.get(f"{JOBS}/{job_id}/audio")
        is_right(answer.content, line)
        assert job["result"]["seed"] == line.number
        assert job["result"]["duration"] == pytest.approx(len(line.samples) / 24_000, abs=0.001)
    for line, audio in seen.heard.items():
        is_right(audio, line)


async def test_jobs_go_on_at_the_server_where_they_were_begun(tmp_path: Path) -> None:
    """The service was killed, and its settings name another server when it is started again.

    One of the jobs is cancelled there, and one ends there. Where that server is gone, too:
    test_services_sharing.py.
    """
    folder, lines = tmp_path / "service", [Line(1), Line(5)]
    with (
        StandInProcess(data_dir=tmp_path / "old") as old,
        StandInProcess(data_dir=tmp_path / "new") as new,
    ):
        gate = old.faults.hold("running")
        with service_at(folder, old) as service:
            ids: list[str] = []
            async with client(service) as http:
                for line in lines:  # one after the other: of two at once, either may be the first
                    ids.append((await http.post(**line.asked)).json()["id"])
                    assert await old.log.until(lambda log: log.submitted == ids, PATIENCE)
            assert await asyncio.to_thread(gate.reached.wait, PATIENCE)
            service.kill()
        cancelled, other = ids
        looks = old.log.http_count("/queue")
        with service_at(folder, new) as service:
            async with client(service) as http:
                assert await old.log.until(lambda log: log.http_count("/queue") > looks, PATIENCE)
                await http.delete(f"{JOBS}/{cancelled}")
                told = old.log.until(lambda log: cancelled in log.interrupt_requests, PATIENCE)
                assert await told
                gate.release()
                assert (await ended(http, cancelled))["state"] == "cancelled"
                assert (await ended(http, other))["state"] == "succeeded"
                is_right((await http.get(f"{JOBS}/{other}/audio")).content, lines[1])
        assert old.log.interrupted == [cancelled]
        assert old.log.submitted == ids
        assert new.log.submitted == []


def done_once(comfyui: StandInProcess, jobs: dict[str, dict[str, Any]]) -> None:
    """The server outlived it all: whatever it was given, it was given once."""
    submitted = Counter(comfyui.log.submitted)
    assert submitted == dict.fromkeys(jobs, 1)
    assert Counter(comfyui.log.executed_ids) == submitted
    assert not comfyui.log.interrupted
    assert not comfyui.log.deleted
