"""Asked again, asked elsewhere, not asked at all: every layer, on real sockets."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from storycore_tts import (
    BackendOverloaded,
    BackendUnavailable,
    GenerationFailed,
    QwenTTSConfig,
    Sampling,
    SpeechRequest,
    UnknownSpeaker,
    open_tts,
)
from storycore_tts.adapters.draft import DraftAdapter
from storycore_tts.container import make_adapter
from storycore_tts.domain.events import AttemptFailed, AvailabilityChanged, FellBack
from storycore_tts.testing.comfyui import Answer, NodeError, SpeakerList
from storycore_tts.testing.comfyui.log import Request, Submitted
from storycore_tts.testing.proxy import Cut

SHORT = {"attempts": 3, "initial_seconds": 0.05, "longest_seconds": 0.05}


# Again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["network", "server"])
async def test_what_is_down_and_comes_back_is_asked_again(run, what):
    url = run.proxy.url if what == "network" else run.server.url
    await asyncio.to_thread(run.proxy.down if what == "network" else run.server.stop)

    async def come_back(_):
        await run.failed.wait()
        await asyncio.to_thread(run.proxy.up if what == "network" else run.server.start)

    retry = {"attempts": 20, "initial_seconds": 0.1, "longest_seconds": 0.8}
    ended = await run("clone", meanwhile=come_back, comfyui_url=url, retry=retry)
    assert all(failed.pause is not None for failed in ended.of(AttemptFailed))


async def test_a_server_that_asks_for_a_pause_gets_it(run):
    refusal = Answer(path="/prompt", method="POST", status=503, headers={"Retry-After": "1"})
    run.server.faults.add(refusal)
    ended = await run("speak")
    [failed] = ended.of(AttemptFailed)
    assert isinstance(failed.error, BackendOverloaded)
    assert failed.pause >= 1.0
    first, second = (
        record.at
        for record in run.server.log.of(Request)
        if (record.method, record.path) == ("POST", "/prompt")
    )
    assert second - first >= 0.99  # two clocks


async def test_tries_do_not_multiply(run):
    """As many requests as tries: nothing below tries again by itself."""
    run.proxy.add(Cut(request=b"GET /object_info", direction="response", times=None))
    ended = await run("speak", error=BackendUnavailable, generated=0, retry=SHORT)
    seen = [line for line in run.proxy.log.requests if line.startswith(b"GET /object_info")]
    assert len(seen) == len(ended.of(AttemptFailed)) == SHORT["attempts"]


# Elsewhere --------------------------------------------------------------------------------------


async def test_a_server_that_is_down_for_good_is_stood_in_for(run, nobody):
    heard: list[Any] = []
    config = run.config(comfyui_url=nobody, fallback="draft", retry=SHORT)
    async with open_tts(config) as service:
        service.add_listener(heard.append)
        speech = await run.ask("speak", service)
    assert speech.backend == "draft"
    assert any("comfyui was unavailable" in warning for warning in speech.warnings)
    [fell] = [event for event in heard if isinstance(event, FellBack)]
    assert (fell.operation, fell.backend, fell.to) == ("synthesize", "comfyui", "draft")


async def test_a_fallback_that_lacks_the_port_is_not_asked(run, nobody):
    where = {"comfyui_url": nobody, "fallback": "draft"}
    ended = await run("train", error=BackendUnavailable, retry=SHORT, **where)
    assert ended.of(FellBack) == []


async def test_a_server_that_dies_in_mid_job_does_not_make_two_of_it(run):
    """Draft speaks in its place; the dead server never hears of the job again."""
    gate = run.server.faults.hold("running")
    async with open_tts(
        run.config(fallback="draft", timeouts={"away": 0.5, "cancel": 0.5})
    ) as service:
        call = asyncio.ensure_future(run.ask("speak", service))
        await run.is_at(gate)
        await asyncio.to_thread(run.server.stop)
        speech = await asyncio.wait_for(call, 60)
    assert speech.backend == "draft"
    assert len(run.server.log.submitted) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [(NodeError(), GenerationFailed), (SpeakerList(speakers=("Zoe",)), UnknownSpeaker)],
)
async def test_an_answer_that_another_backend_cannot_better_is_final(run, fault, error):
    run.server.faults.add(fault)
    ended = await run("speak", error=error, fallback="draft")
    assert ended.of(FellBack) == []


# Not at all -------------------------------------------------------------------------------------


async def test_fifty_requests_to_a_dead_server_make_no_connection(run):
    seen: list[bytes] = []

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.transport.abort()

    def asked() -> int:
        # The event stream looks by itself, ever more seldom, whether the server is back.
        return sum(b" /ws" not in line for line in seen)

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as dead:
        url = f"http://127.0.0.1:{dead.sockets[0].getsockname()[1]}"
        breaker = {"failures": 3, "probe_seconds": 600.0}
        config = run.config(comfyui_url=url, fallback="draft", retry=SHORT, breaker=breaker)
        async with open_tts(config) as service:
            assert (await service.say("One.")).backend == "draft"
            known = asked()
            spoken = await asyncio.gather(*(service.say(f"Line {n}.") for n in range(50)))
            assert asked() == known
    assert {speech.backend for speech in spoken} == {"draft"}


async def test_a_probe_finds_out_that_the_server_is_back(run):
    await asyncio.to_thread(run.proxy.down)
    back, heard = asyncio.Event(), []

    def listen(event):
        if isinstance(event, AvailabilityChanged):
            heard.append(event.available)
            if event.available:
                back.set()

    breaker = {"failures": 3, "probe_seconds": 0.2}
    config = run.config(fallback="draft", retry=SHORT, breaker=breaker)
    async with open_tts(config) as service:
        service.add_listener(listen)
        assert (await service.say("One.")).backend == "draft"
        assert heard == [False]
        run.proxy.up()
        await asyncio.wait_for(back.wait(), 30)
        run.is_right("clone", await run.ask("clone", service))


# Both sides alike -------------------------------------------------------------------------------

SAMPLING = Sampling(
    seed=7, temperature=0.7, top_p=0.6, top_k=11, repetition_penalty=1.2, max_new_tokens=900
)
REQUEST = SpeechRequest("Both alike.", "vivian", language="zh", instruct="Warm.", sampling=SAMPLING)


class Noting(DraftAdapter):
    """Draft, which notes what it was asked for."""

    given: list[SpeechRequest]

    async def synthesize(self, request, **options):
        self.given.append(request)
        return await super().synthesize(request, **options)


@pytest.fixture
def given(monkeypatch, tmp_path: Path) -> list[SpeechRequest]:
    """What an installed adapter named "noting" is asked for."""
    Noting.given = []
    module = ModuleType("noting_adapter")
    module.create = lambda config: Noting()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    metadata = tmp_path / "installed" / "noting-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: noting\nVersion: 1.0\n")
    points = "[storycore_tts.adapters]\nnoting = noting_adapter:create\n"
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(metadata.parent)
    return Noting.given


async def test_both_backends_are_given_the_same(run, given):
    async with open_tts(run.config(fallback="noting", retry=SHORT)) as service:
        assert (await service.synthesize(REQUEST)).backend == "comfyui"
        await asyncio.to_thread(run.proxy.down)
        await service.synthesize(REQUEST)
    [asked], node = given, voice_node(run.server)
    assert node["text"] == asked.text
    assert node["speaker"].casefold() == asked.speaker.casefold()
    assert (node["language"], node["instruct"]) == (asked.language, asked.instruct)
    for name in ("seed", "temperature", "top_p", "top_k", "repetition_penalty"):
        assert node[name] == getattr(asked.sampling, name)
    assert node["max_new_tokens"] == asked.token_budget


def voice_node(server) -> dict[str, Any]:
    [submitted] = server.log.of(Submitted)
    [inputs] = [
        node["inputs"]
        for node in submitted.graph.values()
        if node["class_type"] == "FB_Qwen3TTSCustomVoice"
    ]
    return inputs


async def test_direct_is_given_what_comfyui_would_have_been(run, nobody, tiny_voice):
    config: QwenTTSConfig = run.config(
        comfyui_url=nobody, fallback="direct", retry=SHORT, **tiny_voice
    )
    adapter = make_adapter("direct", config)
    alone = await adapter.synthesize(REQUEST)
    await adapter.aclose()
    async with open_tts(config) as service:
        speech = await service.synthesize(REQUEST)
    assert (speech.backend, speech.seed) == ("direct", 7)
    assert speech.speaker.casefold() == REQUEST.speaker.casefold()
    np.testing.assert_array_equal(speech.samples, alone.samples)
