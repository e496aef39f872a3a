"""Asked again, asked elsewhere, not asked at all: every layer, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import numpy as np
import pytest
from dependency_injector import providers

from storycore_tts import (
    BackendOverloaded,
    BackendUnavailable,
    GenerationFailed,
    OutOfMemory,
    Sampling,
    SpeechRequest,
    UnknownSpeaker,
    container,
    open_tts,
)
from storycore_tts.adapters.resilience import Layer
from storycore_tts.domain.events import AttemptFailed, AvailabilityChanged, FellBack
from storycore_tts.testing.comfyui import Answer, NodeError, SpeakerList, out_of_memory
from storycore_tts.testing.comfyui.log import Request, Submitted
from storycore_tts.testing.proxy import Cut

THREE = ("speak", "clone", "train")
SHORT = {"attempts": 3, "initial_seconds": 0.05, "longest_seconds": 0.05}
# Where tries are counted, none may be too slow: by us, or by a breaker, which after one connection
# that came too late is told of it by every try of the next second, and gives up.
UNHURRIED = {"request": 5.0, "connect": 5.0}


# Again ------------------------------------------------------------------------------------------


async def test_a_server_that_is_down_and_comes_back_is_asked_again(on_each):
    async def one(run, port):
        await asyncio.to_thread(run.proxy.down)

        async def come_back(_):
            assert await run.proxy.log.until(lambda _: run.proxy.connections >= 2)
            run.proxy.up()

        ended = await run(port, meanwhile=come_back)
        assert all(failed.pause is not None for failed in ended.of(AttemptFailed))

    await on_each(one, THREE)


async def test_a_server_that_is_not_there_yet_is_asked_again(on_each):
    async def one(run, port):
        url = run.server.url
        await asyncio.to_thread(run.server.stop)

        async def come_back(_):
            await run.failed.wait()
            await asyncio.to_thread(run.server.start)

        await run(port, meanwhile=come_back, comfyui_url=url)

    await on_each(one, THREE)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_for_a_pause_gets_it(on_each, status):
    async def one(run, port):
        refusal = Answer(path="/prompt", method="POST", status=status, headers={"Retry-After": "1"})
        run.server.faults.add(refusal)
        ended = await run(port, timeouts=UNHURRIED)
        [failed] = ended.of(AttemptFailed)
        assert isinstance(failed.error, BackendOverloaded)
        assert failed.pause >= 1.0
        first, second = (
            record.at
            for record in run.server.log.of(Request)
            if (record.method, record.path) == ("POST", "/prompt")
        )
        assert second - first >= 1.0

    await on_each(one, THREE)


async def test_a_server_that_asks_for_too_long_a_pause_is_not_waited_for(on_each):
    async def one(run, port):
        refusal = Answer(path="/prompt", method="POST", status=429, headers={"Retry-After": "3600"})
        run.server.faults.add(refusal)
        await run(port, error=BackendOverloaded, generated=0)
        assert run.server.log.http_count("/prompt", "POST") == 1

    await on_each(one, THREE)


@pytest.mark.parametrize("attempts", [1, 3])
async def test_tries_do_not_multiply(on_each, attempts):
    """As many requests as tries: nothing below tries again by itself."""

    async def one(run, port):
        run.proxy.add(Cut(request=b"GET /object_info", direction="response", times=None))
        retry = {**SHORT, "attempts": attempts}
        ended = await run(
            port, error=BackendUnavailable, generated=0, retry=retry, timeouts=UNHURRIED
        )
        seen = [line for line in run.proxy.log.requests if line.startswith(b"GET /object_info")]
        assert len(seen) == len(ended.of(AttemptFailed)) == attempts

    await on_each(one, THREE)


# Elsewhere --------------------------------------------------------------------------------------


@pytest.fixture
def nobody():
    """The address of nobody, and nobody can take it while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


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
    assert run.server.log.submitted == []


@pytest.mark.parametrize("port", ["clone", "train"])
async def test_who_lacks_the_port_is_not_asked(run, nobody, port):
    error = BackendUnavailable
    ended = await run(port, error=error, comfyui_url=nobody, fallback="draft", retry=SHORT)
    assert ended.of(FellBack) == []


@pytest.mark.parametrize("point", ["queue", "running", "history"])
async def test_a_server_that_dies_in_mid_job_does_not_make_two_of_it(run, point):
    """Draft speaks in its place; the dead server never hears of the job again."""
    gate = run.server.faults.hold(point)
    config = run.config(fallback="draft", timeouts={**UNHURRIED, "away": 0.5})
    async with open_tts(config) as service:
        call = asyncio.ensure_future(run.ask("speak", service))
        await run.is_at(gate)
        await asyncio.to_thread(run.server.stop)
        speech = await asyncio.wait_for(call, 20)
    assert speech.backend == "draft"
    assert len(run.server.log.submitted) == 1


@pytest.mark.parametrize(
    ("fault", "error"), [(out_of_memory(), OutOfMemory), (NodeError(), GenerationFailed)]
)
async def test_a_server_that_tried_has_had_its_turn(on_each, fault, error):
    async def one(run, port):
        run.server.faults.add(fault)
        ended = await run(port, error=error, fallback="draft", timeouts=UNHURRIED)
        assert ended.of(FellBack) == []

    await on_each(one, THREE)


async def test_bad_input_stays_bad(run):
    run.server.faults.add(SpeakerList(speakers=("Zoe",)))
    ended = await run(
        "speak", error=UnknownSpeaker, generated=0, fallback="draft", timeouts=UNHURRIED
    )
    assert ended.of(FellBack) == []


# Not at all -------------------------------------------------------------------------------------


async def test_two_hundred_requests_to_a_dead_server_make_no_connection(run):
    seen: list[bytes] = []

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.transport.abort()

    def asked() -> int:
        # The event stream looks by itself, ever more seldom, whether the server is back.
        return sum(b" /ws" not in line for line in seen)

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as dead:
        url = f"http://127.0.0.1:{dead.sockets[0].getsockname()[1]}"
        breaker = {"failures": 3, "probe_seconds": 60.0}
        config = run.config(comfyui_url=url, fallback="draft", retry=SHORT, breaker=breaker)
        async with open_tts(config) as service:
            assert (await service.say("One.")).backend == "draft"
            known = asked()
            spoken = await asyncio.gather(*(service.say(f"Line {n}.") for n in range(200)))
            assert asked() == known
    assert {speech.backend for speech in spoken} == {"draft"}


@pytest.mark.parametrize("port", ["speak", "clone"])
async def test_a_probe_finds_out_that_the_server_is_back(run, port):
    await asyncio.to_thread(run.proxy.down)
    back, heard = asyncio.Event(), []

    def listen(event):
        heard.append(event)
        if isinstance(event, AvailabilityChanged) and event.available:
            back.set()

    breaker = {"failures": 3, "probe_seconds": 0.2}
    config = run.config(fallback="draft", retry=SHORT, breaker=breaker, timeouts=UNHURRIED)
    async with open_tts(config) as service:
        service.add_listener(listen)
        assert (await service.say("One.")).backend == "draft"
        assert [e.available for e in heard if isinstance(e, AvailabilityChanged)] == [False]
        run.proxy.up()
        await asyncio.wait_for(back.wait(), 15)
        run.is_right(port, await run.ask(port, service))


# Both sides alike -------------------------------------------------------------------------------

SAMPLING = Sampling(
    seed=7, temperature=0.7, top_p=0.6, top_k=11, repetition_penalty=1.2, max_new_tokens=900
)
REQUEST = SpeechRequest("Both alike.", "vivian", language="zh", instruct="Warm.", sampling=SAMPLING)


class Recording(Layer):
    """Another adapter, and what it was given."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.given: list[Any] = []

    async def _handle(self, call: Any) -> Any:
        self.given.append(call.request)
        return await super()._handle(call)


async def test_both_backends_are_given_the_same(run):
    made, make = [], container.make_adapter

    def recording(name, config):
        adapter = make(name, config)
        if name != "draft":
            return adapter
        made.append(Recording(adapter))
        return made[-1]

    config = run.config(fallback="draft", retry=SHORT, timeouts=UNHURRIED)
    with container.Container.make.override(providers.Object(recording)):
        async with open_tts(config) as service:
            assert (await service.synthesize(REQUEST)).backend == "comfyui"
            await asyncio.to_thread(run.proxy.down)
            assert (await service.synthesize(REQUEST)).backend == "draft"
    [given], node = made[0].given, voice_node(run.server)
    assert node["text"] == given.text
    assert node["speaker"].casefold() == given.speaker.casefold()
    assert (node["language"], node["instruct"]) == (given.language, given.instruct)
    for name in ("seed", "temperature", "top_p", "top_k", "repetition_penalty"):
        assert node[name] == getattr(given.sampling, name)
    assert node["max_new_tokens"] == given.token_budget


def voice_node(server) -> dict[str, Any]:
    [submitted] = server.log.of(Submitted)
    [inputs] = [
        node["inputs"]
        for node in submitted.graph.values()
        if node["class_type"] == "FB_Qwen3TTSCustomVoice"
    ]
    return inputs


async def test_direct_is_given_what_comfyui_would_have_been(make_run, nobody, tmp_path):
    torch = pytest.importorskip("torch", reason="needs pip install 'storycore-tts[direct]'")
    from storycore_tts.testing.tiny_models import build_tiny_models, install_torchaudio_placeholder

    install_torchaudio_placeholder()
    pytest.importorskip("qwen_tts", reason="needs pip install 'storycore-tts[direct]'")
    torch.set_num_threads(1)
    folder = build_tiny_models(tmp_path / "models").folder / "Qwen3-TTS-12Hz-1.7B-CustomVoice"
    config = make_run().config(
        comfyui_url=nobody,
        fallback="direct",
        retry=SHORT,
        device="cpu",
        precision="fp32",
        direct={"models": {"1.7B-CustomVoice": str(folder)}},
    )
    adapter = container.make_adapter("direct", config)
    alone = await adapter.synthesize(REQUEST)
    await adapter.aclose()
    async with open_tts(config) as service:
        speech = await service.synthesize(REQUEST)
    assert (speech.backend, speech.seed) == ("direct", 7)
    assert speech.speaker.casefold() == REQUEST.speaker.casefold()
    np.testing.assert_array_equal(speech.samples, alone.samples)
