"""Nothing accepted is lost, and nothing runs twice."""

from __future__ import annotations

import asyncio
import gc

import psutil
import pytest

from storycore_tts import (
    BackendUnavailable,
    QwenTTSComfyUIClient,
    QwenTTSConfig,
    Sampling,
    SpeechRequest,
)
from storycore_tts.adapters.comfyui import ComfyUIAdapter
from storycore_tts.testing.comfyui import (
    AbortSocket,
    Answer,
    CloseSocket,
    DropFrames,
    DuplicateFrames,
    Hang,
    HistoryEmpty,
    HistoryStatusNull,
    RefuseSocket,
    ResetAfter,
    SilenceSocket,
    StandInComfyUI,
    StandInProcess,
    StripPromptId,
    binary_frame,
    huge_frame,
    invalid_json,
    unknown_event,
)

LINE = SpeechRequest("Hello, this is a test.", "Ryan")


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.soak)])
async def test_two_hundred_calls_share_one_socket_and_each_runs_once(tmp_path, rounds):
    """Memory stays flat once the first round has warmed everything up."""
    process = psutil.Process()
    objects, megabytes = [], []
    with StandInProcess(instant=True) as server:
        config = QwenTTSConfig(comfyui_url=server.url, output_dir=str(tmp_path))
        async with QwenTTSComfyUIClient(config) as client:
            for round_ in range(rounds):
                lines = [f"Line {round_} {number}." for number in range(200)]
                results = await asyncio.gather(*(client.generate_voice(line) for line in lines))
                assert len({result.audio_path for result in results}) == 200
                assert all(result.duration == pytest.approx(1.0, abs=0.01) for result in results)
                del results
                gc.collect()
                objects.append(len(gc.get_objects()))
                megabytes.append(process.memory_info().rss / 2**20)
        log = server.log
    assert len(log.ws_connections) == 1
    assert len(set(log.submitted)) == len(log.submitted) == 200 * rounds
    assert sorted(log.executed_ids) == sorted(log.submitted)
    assert objects[-1] - objects[1] < 1000, objects
    assert megabytes[-1] - megabytes[1] < 20, megabytes


async def test_concurrent_calls_get_their_own_words(standin_comfyui, make_adapter):
    """With voices that speak: the length of each answer is that of its own text."""
    adapter = make_adapter(standin_comfyui.url)
    texts = [" ".join(["word"] * count) for count in range(1, 41)]
    seeded = Sampling(seed=7)
    spoken = await asyncio.gather(
        *(adapter.synthesize(SpeechRequest(text, "Ryan", sampling=seeded)) for text in texts)
    )
    lengths = [speech.duration for speech in spoken]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) == len(lengths)


@pytest.mark.parametrize(
    "fault",
    [
        ResetAfter(path="/prompt", method="POST"),
        Answer(path="/history/*", method="GET", status=502),
        Answer(path="/history/*", method="GET", status=502, times=2),
        Answer(path="/queue", method="GET", status=500),
        AbortSocket(on="execution_start"),
        AbortSocket(on="execution_success"),
        CloseSocket(on="progress"),
        SilenceSocket(on="execution_start"),
        DropFrames(types=("executing", "executed", "execution_success"), times=None),
        DropFrames(
            types=("executing", "executed", "execution_success", "status", "execution_start"),
            times=None,
        ),
        DuplicateFrames(times=None),
        StripPromptId(times=None),
        RefuseSocket(times=None),
        HistoryEmpty(times=4),
        HistoryStatusNull(),
        unknown_event(),
        binary_frame(),
        invalid_json(),
        huge_frame(),
    ],
    ids=lambda fault: f"{type(fault).__name__}-{getattr(fault, 'on', getattr(fault, 'path', ''))}",
)
async def test_the_audio_comes_all_the_same(server: StandInComfyUI, adapter: ComfyUIAdapter, fault):
    server.faults.add(fault)
    speech = await asyncio.wait_for(adapter.synthesize(LINE), 15)
    assert speech.duration == pytest.approx(1.0, abs=0.01)
    assert len(server.log.submitted) == 1
    assert server.log.executions(server.log.submitted[0]) == 1


async def test_a_server_that_dies_is_noticed_within_its_limit(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 10)
    await asyncio.to_thread(server.stop)
    with pytest.raises(BackendUnavailable, match="went away while the job was under way") as gone:
        await asyncio.wait_for(call, 15)
    assert not gone.value.retryable


async def test_closing_in_mid_job_fails_the_call_instead_of_hanging(
    server: StandInComfyUI, adapter: ComfyUIAdapter
):
    gate = server.faults.hold("running")
    call = asyncio.ensure_future(adapter.synthesize(LINE))
    await asyncio.to_thread(gate.reached.wait, 10)
    await adapter.aclose()
    with pytest.raises(BackendUnavailable, match="closed in mid-job") as closed:
        await asyncio.wait_for(call, 15)
    assert not closed.value.retryable
    gate.release()


async def test_a_queue_that_never_answers_does_not_hold_the_result_back(
    server: StandInComfyUI, make_adapter
):
    server.faults.add(Hang(path="/queue", times=None))
    adapter = make_adapter(server.url, request=60.0)
    speech = await asyncio.wait_for(adapter.synthesize(LINE), 15)
    assert speech.duration == pytest.approx(1.0, abs=0.01)
