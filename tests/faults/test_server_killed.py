"""SIGKILL while many jobs wait: nothing is lost, nothing is done twice, and nobody storms."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from storycore_tts import CloneRequest, QwenTTSConfig, ReferenceAudio, Speech, open_tts
from storycore_tts.container import ConfiguredSpeech
from storycore_tts.testing.comfyui import StandInProcess
from storycore_tts.testing.comfyui.log import Request

SPEAKERS = ("Ryan", "Vivian", "Serena")
DOWN_SECONDS = 4.0


class Attempts:
    """When this process tried to connect to a port, while anybody counts."""

    def __init__(self) -> None:
        self._port = 0
        self.times: list[float] = []
        sys.addaudithook(self._note)  # for good: no hook can be taken away

    def _note(self, event: str, args: tuple[object, ...]) -> None:
        if self._port and event == "socket.connect":
            address = args[1]
            if isinstance(address, tuple) and address[1] == self._port:
                self.times.append(time.monotonic())

    @contextmanager
    def counted(self, url: str) -> Iterator[list[float]]:
        self._port, self.times = int(url.rpartition(":")[2]), []
        try:
            yield self.times
        finally:
            self._port = 0


@pytest.fixture(scope="module")
def attempts() -> Attempts:
    return Attempts()


def config(server: StandInProcess) -> QwenTTSConfig:
    return QwenTTSConfig(
        comfyui_url=server.url, fallback="none", comfyui={"timeouts": {"away": 30.0}}
    )


def reference() -> ReferenceAudio:
    times = np.arange(24_000 * 3) / 24_000
    samples = np.asarray(0.3 * np.sin(880 * times), np.float32)
    return ReferenceAudio(samples, transcript="This is what I say here.")


def asked(tts: ConfiguredSpeech, number: int, voice: ReferenceAudio) -> asyncio.Task[Speech]:
    """Ask for a line of its own: every third one is a clone."""
    text = f"This is number {number}."
    if number % 3 == 2:
        return asyncio.ensure_future(tts.clone(CloneRequest(text, voice)))
    return asyncio.ensure_future(tts.say(text, speaker=SPEAKERS[number % 2]))


def check_audio(folder: Path, speech: Speech, number: int) -> None:
    """What came back is what the server wrote for that text, and for that voice."""
    for path in folder.rglob(f"{speech.job_id}_*.flac"):
        with soundfile.SoundFile(path) as file:
            graph = json.loads(file.comment)["prompt"]
            assert np.array_equal(file.read(dtype="float32"), speech.samples)
        values = {key: value for node in graph.values() for key, value in node["inputs"].items()}
        assert f"This is number {number}." in (values.get("text"), values.get("target_text"))
        if number % 3 != 2:
            assert values["speaker"] == speech.speaker == SPEAKERS[number % 2]
        return
    raise AssertionError(f"the server wrote nothing for {speech.job_id}")


def check_calm(times: list[float], began: float) -> None:
    """Fewer than three attempts in each second, the first one aside, and on average."""
    later = [when - began for when in times if when > began + 1]
    assert later, "nobody looked whether the server was back"
    assert len(times) < 3 * DOWN_SECONDS, times
    for start in later:
        assert sum(start <= when < start + 1 for when in later) < 3, later


async def until_done(tasks: list[asyncio.Task[Speech]], count: int) -> None:
    while sum(task.done() for task in tasks) < count:
        waiting = [task for task in tasks if not task.done()]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


@pytest.mark.parametrize("modern", [False, True], ids=["0.3.64", "modern"])
async def test_fifty_jobs_survive_a_killed_server(
    tmp_path: Path, attempts: Attempts, modern: bool
) -> None:
    """Some are done, one runs, most wait: all end in their own audio, the done ones untouched."""
    with StandInProcess(data_dir=tmp_path, modern=modern) as server:
        async with open_tts(config(server)) as tts:
            gate = server.faults.hold("running", after=12)
            voice = reference()
            jobs = [asked(tts, number, voice) for number in range(50)]
            assert await asyncio.to_thread(gate.reached.wait, 30)
            assert await server.log.until(lambda log: len(log.submitted) == 50, 30)
            await asyncio.wait_for(until_done(jobs, 12), 10)
            known = {job.result().job_id for job in jobs if job.done()}
            assert len(known) == 12
            with attempts.counted(server.url) as tried:
                await asyncio.to_thread(server.kill)
                killed = time.monotonic()
                await asyncio.sleep(DOWN_SECONDS)
                check_calm(tried, killed)
            before = {one: server.log.executions(one) for one in server.log.submitted}
            await asyncio.to_thread(server.start)
            spoken = await asyncio.wait_for(asyncio.gather(*jobs), 60)

        for number, speech in enumerate(spoken):
            check_audio(tmp_path / "output", speech, number)
            again = speech.job_id not in known
            assert any("given it again" in said for said in speech.warnings) == again
            assert server.log.submitted.count(speech.job_id) == 1 + again
            more = server.log.executions(speech.job_id) - before[speech.job_id]
            assert more == again
        assert sorted(before.values()) == [0] * 37 + [1] * 13
        assert len({speech.job_id for speech in spoken}) == 50


async def test_two_hundred_waiting_jobs_do_not_storm_a_server_that_is_back(
    attempts: Attempts,
) -> None:
    """Each job is looked for and given again once, over few connections; they share the queue."""
    with StandInProcess(instant=True) as server:
        async with open_tts(config(server)) as tts:
            gate = server.faults.hold("queue")
            jobs = [asyncio.ensure_future(tts.say(f"This is number {n}.")) for n in range(200)]
            assert await asyncio.to_thread(gate.reached.wait, 30)
            assert await server.log.until(lambda log: len(log.submitted) == 200, 30)
            before = len(server.log.of(Request))
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(2.0)
            await asyncio.to_thread(server.start)
            back = time.time()
            with attempts.counted(server.url) as tried:
                server.faults.hold("queue")
                await asyncio.sleep(2.0)
                connections = len(tried) - 1  # of which one scripts the gate
            server.faults.clear()
            spoken = await asyncio.wait_for(asyncio.gather(*jobs), 60)

    early = [r.path for r in server.log.of(Request)[before:] if r.at < back + 2.0]
    looks = sum(path.startswith("/history/") for path in early)
    assert connections <= 8 + 1  # that is how many requests are under way at once, and a WebSocket
    assert looks <= 3 * 200  # so many find that a job is gone
    assert early.count("/prompt") <= 200
    assert len(early) - looks - early.count("/prompt") <= 10, early
    assert len(server.log.ws_connections) == 2  # one in each of its lives
    assert len({speech.job_id for speech in spoken}) == 200
    assert Counter(server.log.submitted) == {speech.job_id: 2 for speech in spoken}
    assert sorted(server.log.executed_ids) == sorted(speech.job_id for speech in spoken)
