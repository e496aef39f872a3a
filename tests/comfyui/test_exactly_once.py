"""Many jobs on real servers: nothing accepted is lost, and nothing runs twice on one server."""

from __future__ import annotations

import asyncio
import gc

import psutil
import pytest

from storycore_tts import QwenTTSComfyUIClient, QwenTTSConfig, Sampling, SpeechRequest
from storycore_tts.testing.comfyui import RefuseSocket, StandInProcess

LINE = SpeechRequest("Hello, this is a test.", "Ryan")


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.soak)])
async def test_a_hundred_calls_share_one_socket_and_each_runs_once(tmp_path, rounds):
    """Memory stays flat once the first round has warmed everything up."""
    process = psutil.Process()
    objects, megabytes = [], []
    with StandInProcess(instant=True) as server:
        config = QwenTTSConfig(comfyui_url=server.url, output_dir=str(tmp_path))
        async with QwenTTSComfyUIClient(config) as client:
            for round_ in range(rounds):
                lines = [f"Line {round_} {number}." for number in range(100)]
                results = await asyncio.gather(*(client.generate_voice(line) for line in lines))
                assert len({result.audio_path for result in results}) == 100
                assert all(result.duration == pytest.approx(1.0, abs=0.01) for result in results)
                del results
                gc.collect()
                objects.append(len(gc.get_objects()))
                megabytes.append(process.memory_info().rss / 2**20)
        log = server.log
    assert len(log.ws_connections) == 1
    assert len(set(log.submitted)) == len(log.submitted) == 100 * rounds
    assert sorted(log.executed_ids) == sorted(log.submitted)
    assert objects[-1] - objects[1] < 1000, objects
    assert megabytes[-1] - megabytes[1] < 20, megabytes


async def test_concurrent_calls_get_their_own_words(standin_comfyui, make_adapter):
    """With voices that speak: the length of each answer is that of its own text."""
    adapter = make_adapter(standin_comfyui.url)
    texts = [" ".join(["word"] * count) for count in range(1, 21)]
    seeded = Sampling(seed=7)
    spoken = await asyncio.gather(
        *(adapter.synthesize(SpeechRequest(text, "Ryan", sampling=seeded)) for text in texts)
    )
    lengths = [speech.duration for speech in spoken]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == len(lengths)


async def test_twenty_jobs_survive_a_server_that_is_killed(make_adapter):
    with StandInProcess(instant=True) as process:
        adapter = make_adapter(process.url, away=60.0, request=10.0)
        gate = process.faults.hold("running")
        calls = [asyncio.ensure_future(adapter.synthesize(LINE)) for _ in range(20)]
        assert await process.log.until(lambda log: len(log.submitted) == 20, 60)
        assert await asyncio.to_thread(gate.reached.wait, 30)
        process.kill()
        await asyncio.to_thread(process.start)
        spoken = await asyncio.wait_for(asyncio.gather(*calls), 100)
        log = process.log
    for speech in spoken:
        assert speech.duration == pytest.approx(1.0, abs=0.01)
        assert "submitted again" in speech.warnings[0]
    jobs = sorted(speech.job_id for speech in spoken)
    assert len(set(jobs)) == 20
    assert sorted(log.submitted) == sorted([*jobs, *jobs])
    assert sorted(log.executed_ids) == jobs
    assert len(log.ws_connections) == 2


async def test_a_websocket_that_never_works_is_not_tried_at_every_answer(server, make_adapter):
    server.faults.add(RefuseSocket(times=None))
    adapter = make_adapter(server.url, away=60.0)
    await asyncio.gather(*(adapter.synthesize(LINE) for _ in range(40)))
    assert server.log.http_count("/ws") <= 8
