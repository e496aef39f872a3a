"""SIGKILL while many jobs wait: nothing is lost, nothing is done twice, and nobody storms."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from storycore_tts import CloneRequest, QwenTTSConfig, ReferenceAudio, Speech, open_tts
from storycore_tts.container import ConfiguredSpeech
from storycore_tts.testing.comfyui import StandInProcess
from storycore_tts.testing.comfyui.log import Request
from storycore_tts.testing.contract import tone_reference
from storycore_tts.testing.proxy import Accepted, FaultyProxy

SPEAKERS = ("Ryan", "Vivian", "Serena")
PATIENCE = 60.0  # s, for what must happen


def config(url: str) -> QwenTTSConfig:
    return QwenTTSConfig(comfyui_url=url, fallback=None, comfyui={"timeouts": {"away": PATIENCE}})


def asked(tts: ConfiguredSpeech, number: int, voice: ReferenceAudio) -> asyncio.Task[Speech]:
    """Ask for a line of its own: every third one is a clone."""
    text = f"This is number {number}."
    if number % 3 == 2:
        return asyncio.ensure_future(tts.clone(CloneRequest(text, voice, x_vector_only=True)))
    return asyncio.ensure_future(tts.say(text, speaker=SPEAKERS[number % 2]))


def written(folder: Path) -> dict[str, tuple[Any, Any]]:
    """The graphs, and the samples, of what the server wrote, by job."""
    found = {}
    for path in folder.rglob("*.flac"):
        with soundfile.SoundFile(path) as file:
            graph = json.loads(file.comment)["prompt"]
            found[graph["output"]["inputs"]["job"]] = (graph, file.read(dtype="float32"))
    return found


def check_audio(wrote: dict[str, tuple[Any, Any]], speech: Speech, number: int) -> None:
    """What came back is what the server wrote for that text, and for that voice."""
    graph, samples = wrote[speech.job_id]
    assert np.array_equal(samples, speech.samples)
    values = {key: value for node in graph.values() for key, value in node["inputs"].items()}
    assert f"This is number {number}." in (values.get("text"), values.get("target_text"))
    if number % 3 != 2:
        assert values["speaker"] == speech.speaker == SPEAKERS[number % 2]


async def until_done(tasks: list[asyncio.Task[Speech]], count: int) -> None:
    while sum(task.done() for task in tasks) < count:
        waiting = [task for task in tasks if not task.done()]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


@pytest.mark.parametrize(
    ("modern", "count"),
    [
        pytest.param(False, 16, id="0.3.64"),
        pytest.param(True, 16, id="modern"),
        pytest.param(False, 200, id="0.3.64-200", marks=pytest.mark.soak),
    ],
)
async def test_jobs_survive_a_killed_server(tmp_path: Path, modern: bool, count: int) -> None:
    """Some are done, one runs, most wait: all end in their own audio, the done ones untouched."""
    with StandInProcess(data_dir=tmp_path, modern=modern) as server:
        async with open_tts(config(server.url)) as tts:
            gate = server.faults.hold("running", after=4)
            jobs = [asked(tts, number, tone_reference(220.0)) for number in range(count)]
            assert await asyncio.to_thread(gate.reached.wait, PATIENCE)
            assert await server.log.until(lambda log: len(log.submitted) == count, PATIENCE)
            await asyncio.wait_for(until_done(jobs, 4), PATIENCE)
            known = {job.result().job_id for job in jobs if job.done()}
            await asyncio.to_thread(server.kill)
            wrote = written(tmp_path / "temp")  # which is emptied at the next start
            before = {one: server.log.executions(one) for one in server.log.submitted}
            await asyncio.to_thread(server.start)
            spoken = await asyncio.wait_for(asyncio.gather(*jobs), PATIENCE)

        assert len({speech.job_id for speech in spoken}) == count
        assert sorted(before.values()) == [0] * (count - 5) + [1] * 5
        wrote = {**wrote, **written(tmp_path / "temp")}
        for number, speech in enumerate(spoken):
            check_audio(wrote, speech, number)
            again = speech.job_id not in known
            assert any("submitted again" in said for said in speech.warnings) == again
            assert server.log.submitted.count(speech.job_id) == 1 + again
            assert server.log.executions(speech.job_id) - before[speech.job_id] == again


@pytest.mark.parametrize("count", [25, pytest.param(200, marks=pytest.mark.soak)])
async def test_waiting_jobs_do_not_storm_a_server_that_is_down_or_back(count: int) -> None:
    """Each job is looked for and given again once, over few connections; they share the queue."""
    with StandInProcess(instant=True) as server, FaultyProxy(server.url) as proxy:
        async with open_tts(config(proxy.url)) as tts:
            server.faults.hold("queue")
            jobs = [asyncio.ensure_future(tts.say(f"This is number {n}.")) for n in range(count)]
            assert await server.log.until(lambda log: len(log.submitted) == count, PATIENCE)
            asked_before = len(server.log.of(Request))
            await asyncio.to_thread(server.kill)
            killed = time.monotonic()

            def tries() -> list[float]:
                return [record.at for record in proxy.log.of(Accepted) if record.at > killed]

            assert await proxy.log.until(lambda _: len(tries()) >= 8, PATIENCE)
            assert tries()[7] - killed > 1.0, "eight tries of all jobs together in one second"

            proxy.down()  # until the gate stands again
            await asyncio.to_thread(server.start)
            gate = server.faults.hold("queue")
            connections = proxy.connections
            proxy.up()
            assert await server.log.until(lambda log: len(log.submitted) == 2 * count, PATIENCE)
            connections = proxy.connections - connections
            requests = [record.path for record in server.log.of(Request)[asked_before:]]
            gate.release()
            spoken = await asyncio.wait_for(asyncio.gather(*jobs), PATIENCE)

    # That is how many requests are under way at once, a WebSocket, and tries while it was down.
    assert connections <= 8 + 1 + 3
    looks = sum(path.startswith("/history/") for path in requests)
    assert looks <= 3 * count  # so many find that a job is gone
    assert requests.count("/prompt") <= count
    assert len(requests) - looks - requests.count("/prompt") <= 10, Counter(requests)
    assert len(server.log.ws_connections) == 2  # one in each of its lives
    assert Counter(server.log.submitted) == {speech.job_id: 2 for speech in spoken}
    assert sorted(server.log.executed_ids) == sorted(speech.job_id for speech in spoken)
