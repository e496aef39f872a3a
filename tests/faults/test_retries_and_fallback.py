"""Asked again, asked elsewhere, not asked at all: all layers together, on real sockets.

The rules of each layer: tests/unit/resilience.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from storycore_tts import (
    BackendOverloaded,
    BackendUnavailable,
    open_tts,
)
from storycore_tts.domain.events import AttemptFailed, FellBack
from storycore_tts.testing.comfyui import Answer
from storycore_tts.testing.comfyui.log import Request
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
