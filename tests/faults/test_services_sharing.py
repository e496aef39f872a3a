"""Two services on one PostgreSQL, each with a ComfyUI of its own: they share work and answers."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest

from storycore_tts.testing.comfyui import StandInProcess
from storycore_tts.testing.comfyui.log import Finished
from storycore_tts.testing.comfyui.process import ProcessGate
from storycore_tts.testing.service_process import ServiceProcess
from tests.postgres import Databases

from .lines import JOBS, PATIENCE, Line, client, ended, is_right

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

AT_ONCE = 4  # jobs that one service does
# A server that a busy machine keeps waiting is not taken for one that is gone: its jobs would be
# begun anew elsewhere.
PATIENT = {"timeouts": {"connect": 20.0, "request": 60.0, "away": 30.0}}


@dataclass
class Side:
    """A service, the server that speaks for it, and a client of it."""

    comfyui: StandInProcess
    service: ServiceProcess
    alive: bool = False
    http: httpx.AsyncClient = field(init=False)
    earlier: frozenset[str] = frozenset()  # jobs that tests before this one gave to the server

    async def kill(self) -> None:
        self.alive = False
        await asyncio.to_thread(self.service.kill)

    @property
    def given(self) -> Counter[str]:
        return Counter(job for job in self.comfyui.log.submitted if job not in self.earlier)

    @property
    def finished(self) -> Counter[str]:
        done = (record.prompt_id for record in self.comfyui.log.of(Finished))
        return Counter(job for job in done if job not in self.earlier)


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_databases: Databases
) -> Iterator[list[Side]]:
    """Two of them, one database, for all tests here: each start costs seconds."""
    folder = tmp_path_factory.mktemp("sharing")
    made: list[Side] = []
    with postgres_databases.fresh() as url:
        shared = {
            "database_url": url,
            "requests_per_minute": None,
            "concurrency": {"comfyui": AT_ONCE},
        }
        try:
            for name in ("one", "other"):
                comfyui = StandInProcess(data_dir=folder / name / "comfyui")
                comfyui.start()
                asked = {"comfyui_url": comfyui.url, "comfyui": PATIENT}
                made.append(Side(comfyui, ServiceProcess(folder / name, server=shared, **asked)))
            yield made
        finally:
            for side in made:
                side.service.kill()
                side.comfyui.stop()


@pytest.fixture
async def sides(pair: list[Side]) -> AsyncIterator[list[Side]]:
    """Both, started again where the test before has killed them."""
    started = [side for side in pair if not side.alive]
    for side in started:
        side.service.launch()
    for side in started:
        side.alive = await asyncio.to_thread(side.service.listens)
        assert side.alive, side.service.said
    async with AsyncExitStack() as stack:
        for side in pair:
            side.http = await stack.enter_async_context(client(side.service))
            side.earlier = frozenset(side.comfyui.log.submitted)
        yield pair


async def submitted(side: Side, lines: list[Line]) -> dict[str, Line]:
    found = {}
    for line in lines:
        answer = await side.http.post(**line.asked)
        assert answer.status_code == 202, answer.text
        found[answer.json()["id"]] = line
    return found


def asynchronous(count: int, *, begin: int) -> list[Line]:
    """Lines whose clients do not wait; what was asked for with a key is not done again."""
    numbers = (number for number in itertools.count(begin) if not Line(number).waits)
    return [Line(number) for number in itertools.islice(numbers, count)]


async def held(sides: list[Side], lines: list[Line]) -> tuple[dict[str, Line], list[ProcessGate]]:
    """Ask for lines until each service does as much as it may; what runs stands still."""
    before = [len(side.comfyui.log.submitted) for side in sides]
    gates = [side.comfyui.faults.hold("running") for side in sides]
    given: dict[str, Line] = {}
    for some in await asyncio.gather(*(submitted(s, lines[n::2]) for n, s in enumerate(sides))):
        given |= some
    for side, count in zip(sides, before, strict=True):
        wanted = count + AT_ONCE
        assert await side.comfyui.log.until(lambda log: len(log.submitted) == wanted, PATIENCE)  # noqa: B023
    return given, gates


async def all_are_right(side: Side, given: dict[str, Line]) -> None:
    ends = await asyncio.gather(*(ended(side.http, job_id) for job_id in given))
    assert {end["state"] for end in ends} == {"succeeded"}
    for job_id, line in given.items():
        is_right((await side.http.get(f"{JOBS}/{job_id}/audio")).content, line)


async def test_either_tells_of_the_others_jobs_and_stops_them(sides: list[Side]) -> None:
    """Status, events and sound of a job come from whichever is asked, and so does its end."""
    gates = [side.comfyui.faults.hold("running") for side in sides]
    (job_id,) = await submitted(sides[0], [Line(1)])
    while not any(gate.reached.is_set() for gate in gates):
        await asyncio.sleep(0.05)  # a file tells, and one of the two never does
    doing = 0 if gates[0].reached.is_set() else 1
    here, there = sides[doing], sides[1 - doing]
    assert (await there.http.get(f"{JOBS}/{job_id}")).json()["state"] == "running"
    following = [asyncio.ensure_future(ended(side.http, job_id)) for side in sides]
    assert (await there.http.delete(f"{JOBS}/{job_id}")).json()["state"] == "cancelled"
    for end in await asyncio.wait_for(asyncio.gather(*following), PATIENCE):
        assert end["state"] == "cancelled"
    assert await here.comfyui.log.until(lambda log: job_id in log.interrupt_requests, PATIENCE)
    gates[doing].release()
    assert await here.comfyui.log.until(lambda log: log.interrupted == [job_id], PATIENCE)
    gates[1 - doing].release()

    (job_id,) = await submitted(there, [Line(5)])
    for end in await asyncio.gather(*(ended(side.http, job_id) for side in sides)):
        assert end["state"] == "succeeded"
    heard = [(await side.http.get(f"{JOBS}/{job_id}/audio")).content for side in sides]
    assert heard[0] == heard[1]
    is_right(heard[0], Line(5))
    assert not there.comfyui.log.interrupted


@pytest.mark.parametrize("jobs", [20, pytest.param(200, marks=pytest.mark.soak)])
async def test_one_is_killed_and_the_other_finishes_all(sides: list[Side], jobs: int) -> None:
    """Each job is done once: what the dead one's server has, the other one fetches there."""
    one, other = sides
    given, gates = await held(sides, asynchronous(jobs, begin=100))
    await one.kill()
    for gate in gates:
        gate.release()
    await all_are_right(other, given)
    done = [side.finished for side in sides]
    assert "job.begun_anew" not in other.service.said, other.service.said
    for count, side in zip(done, sides, strict=True):
        assert max(count.values()) == 1
        assert count == side.given
    assert len(done[0]) == AT_ONCE
    assert (done[0] + done[1]).keys() == given.keys()
    assert not done[0] & done[1]


async def test_a_machine_is_lost_with_its_server(sides: list[Side]) -> None:
    """What cannot be fetched there any more is done anew, and nothing else."""
    one, other = sides
    lines = asynchronous(20, begin=1000)
    early = await submitted(one, lines[:6])
    await all_are_right(other, early)
    given, gates = await held(sides, lines[6:])
    begun = one.given.keys() - one.finished.keys()
    await one.kill()
    await asyncio.to_thread(one.comfyui.kill)
    gates[1].release()
    await all_are_right(other, given)
    assert max(other.finished.values()) == 1
    assert begun <= other.finished.keys()
    assert not one.finished & other.finished
