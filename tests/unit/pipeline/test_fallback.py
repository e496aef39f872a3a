"""Another backend's turn: when, and what is said of it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from storycore_tts.domain.events import FellBack
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.errors import (
    AuthenticationFailed,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    InvalidRequest,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    RunawayGeneration,
    UnknownSpeaker,
)
from storycore_tts.pipeline.breaker import Breaker
from storycore_tts.pipeline.calls import Dispatcher, Pipeline
from storycore_tts.pipeline.fallback import Fallback
from storycore_tts.pipeline.retry import Retry
from storycore_tts.ports import Capabilities
from storycore_tts.settings import BreakerConfig, RetryConfig

pytestmark = pytest.mark.virtual_clock

HELLO = SpeechRequest("Hello.", "Ryan")
CLONE = CloneRequest("Hello.", ReferenceAudio(np.ones(24_000, np.float32), transcript="Ah."))
TRAINING = TrainingRequest("/data", "/out", "mia")
DOWN = BackendUnavailable("No server at :8188.", hint="Start ComfyUI.", backend="comfyui")


@pytest.fixture
def falling_back(ports, heard):
    """Makes the ports over an adapter with fallbacks: name=adapter, or name=what makes it."""

    def make(first, only_if_installed=False, **others):
        def made(name):
            other = others[name]
            return Dispatcher(other() if callable(other) else other, name)

        making = {name: lambda name=name: made(name) for name in others}
        tell = heard.append
        return ports(
            first,
            Fallback("comfyui", making, tell=tell, only_if_installed=only_if_installed),
        )

    return make


@pytest.fixture
def pair(scripted, falling_back):
    def make(first_script, other_script=()):
        first, other = scripted("comfyui", *first_script), scripted("direct", *other_script)
        return falling_back(first, direct=other), first, other

    return make


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        BackendUnavailable("The job may live.", retryable=False),
        BackendTimeout("Slow.", wait="connect", seconds=5),
        NodePackMissing("No such node."),
    ],
    ids=str,
)
async def test_an_unavailable_backend_is_replaced_and_that_is_said(pair, heard, error):
    layer, _, other = pair([0.0, error])
    speech = await layer.synthesize(HELLO)  # what works is left alone
    assert (speech.backend, speech.warnings) == ("comfyui", ())
    assert other.calls == heard == []
    speech = await layer.synthesize(HELLO)
    assert speech.backend == "direct"
    assert other.calls == [("synthesize", HELLO)]
    told = f"direct was used because comfyui was unavailable: {error.message}"
    assert speech.warnings == (told,)
    assert heard == [FellBack("synthesize", "comfyui", "direct", error)]


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("Bad."),
        OutOfMemory("Full."),
        JobLost("Gone."),
        AuthenticationFailed("Who are you?"),
        ZeroDivisionError("A mistake of ours."),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_nothing_else_is(pair, heard, error):
    layer, _, other = pair([error])
    with pytest.raises(type(error)) as caught:
        await layer.synthesize(HELLO)
    assert caught.value is error
    assert other.calls == heard == []


async def test_nor_is_one_for_another_that_lacks_the_port(pair, heard):
    layer, first, other = pair([DOWN])
    other.capabilities = Capabilities(speech=True)
    with pytest.raises(BackendUnavailable) as caught:
        await layer.clone(CLONE)
    assert caught.value is DOWN
    assert other.calls == heard == []
    first.reachable = False
    status = await layer.status()
    told = (status.backend, status.reachable, status.details["fallback"])
    assert told == ("comfyui", False, "direct")


async def test_of_one_that_is_not_installed_nothing_is_said_unless_it_was_chosen(
    scripted, falling_back
):
    missing = BackendUnavailable("No torch.", hint="pip it.", retryable=False)
    busy = BackendUnavailable("Busy.")
    for raised, said in ((missing, DOWN.message), (busy, "The fallback direct failed too")):
        first, other = scripted("comfyui", DOWN), scripted("direct", raised)
        layer = falling_back(first, only_if_installed=True, direct=other)
        with pytest.raises(BackendUnavailable) as caught:
            await layer.synthesize(HELLO)
        assert said in caught.value.message
        assert (caught.value is DOWN) == (raised is missing)


async def test_each_port_falls_back_with_the_same_request(pair):
    layer, _, other = pair([DOWN] * 5)
    assert (await layer.synthesize(HELLO)).backend == "direct"
    assert (await layer.clone(CLONE)).backend == "direct"
    voice = await layer.train(TRAINING)
    assert (voice.backend, len(voice.warnings)) == ("direct", 1)
    assert [speaker.name for speaker in await layer.speakers()] == ["direct"]
    asked = [id(request) for _, request in other.calls]
    assert asked == [id(HELLO), id(CLONE), id(TRAINING), id(None)]


async def test_a_stream_falls_back_before_its_first_chunk_only(pair):
    layer, first, other = pair([DOWN])
    chunks = [chunk async for chunk in layer.synthesize_stream(HELLO)]
    assert len(chunks) == 3
    assert all("direct was used" in chunk.warnings[0] for chunk in chunks)
    first.script.append(DOWN)
    first.chunks_before_an_error = 2
    stream = layer.synthesize_stream(HELLO)
    assert [(await anext(stream)).start for _ in range(2)] == [0.0, 0.1]
    with pytest.raises(BackendUnavailable):
        await anext(stream)
    assert len(other.calls) == 1


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        # Both refuse: the first one's error.
        (BackendUnavailable("It is missing.", hint="pip it.", retryable=False), NodePackMissing),
        (InvalidRequest("No such checkpoint here.", hint="Look at the path."), NodePackMissing),
        (ConfigurationError("A wrong key."), NodePackMissing),
        # It went wrong on the other one: its own error.
        (OutOfMemory("No memory.", node_type="n"), OutOfMemory),
        (RunawayGeneration("On.", partial_duration=3.0), RunawayGeneration),
        (UnknownSpeaker("No such speaker."), UnknownSpeaker),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_when_both_fail_one_error_tells_both_causes(pair, second, kind):
    first = NodePackMissing("No nodes.", hint="Install them.")
    layer, _, _ = pair([first], [second])
    with pytest.raises(kind) as caught:
        await layer.synthesize(HELLO)
    for cause in (first.message, first.hint, second.message, second.hint or ""):
        assert cause in str(caught.value)
    assert caught.value.__cause__ is second
    assert caught.value.args == (caught.value.message,)
    whose = second if kind is type(second) else first
    kept = {key: value for key, value in vars(whose).items() if key not in ("message", "hint")}
    assert vars(caught.value).items() >= kept.items()
    assert "No nodes" not in second.message  # itself untouched


async def test_the_other_one_is_made_when_first_needed_and_once(scripted, falling_back):
    first, made = scripted("comfyui", 0.0, DOWN, DOWN, DOWN), []

    def make():
        if not made:
            made.append(None)
            raise BackendUnavailable("Its package is missing.", retryable=False)
        made.append(scripted("direct"))
        return made[-1]

    layer = falling_back(first, direct=make)
    await layer.synthesize(HELLO)
    assert made == []
    with pytest.raises(BackendUnavailable, match=r"No server at :8188\..*Its package is missing"):
        await layer.synthesize(HELLO)
    await layer.synthesize(HELLO)
    await layer.synthesize(HELLO)
    assert len(made) == 2
    await layer.aclose()
    assert (first.closed, made[1].closed) == (1, 1)


def test_two_event_loops_that_need_it_at_once_make_it_once(scripted, falling_back):
    both, made = threading.Barrier(2), []

    def make():
        made.append(scripted("direct"))
        time_for_the_other_one.wait(0.2)
        return made[-1]

    time_for_the_other_one = threading.Event()
    layer = falling_back(scripted("comfyui", DOWN, DOWN), direct=make)

    def say():
        both.wait()
        asyncio.run(layer.synthesize(HELLO))

    with ThreadPoolExecutor(2) as threads:
        for saying in [threads.submit(say) for _ in range(2)]:
            saying.result()
    assert len(made) == 1


async def test_a_cancelled_line_is_never_spoken_by_the_other_one(pair, heard, until, swallows):
    """Even if the first one answers its cancellation with an error, such as a job's timeout."""
    layer, first, other = pair([])
    swallows(first, BackendTimeout("Late.", wait="job", seconds=1))
    calling = asyncio.ensure_future(layer.synthesize(HELLO))
    await until(lambda: first.calls)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert other.calls == heard == []
    # An earlier cancellation, which the caller has dealt with, is none of this call.
    first.script.append(DOWN)
    assert (await layer.train(TRAINING)).backend == "direct"


async def test_a_line_that_closing_ends_is_not_spoken_by_the_other_one(pair, until):
    layer, first, other = pair([DOWN])
    first.gate = asyncio.Event()
    calling = asyncio.ensure_future(layer.synthesize(HELLO))
    await until(lambda: first.calls)
    await layer.aclose()
    first.gate.set()
    with pytest.raises(BackendUnavailable):
        await calling
    assert other.calls == []


async def test_retries_do_not_multiply(scripted, ports, heard):
    """Three tries there in all, and one here for each request."""
    first, other = scripted("comfyui", *[DOWN] * 100), scripted("direct")
    policy, probing = RetryConfig(attempts=3), BreakerConfig(probe_seconds=1000.0)
    tell = heard.append
    direct = Pipeline(Dispatcher(other, "direct"), Retry("direct", policy=policy, tell=tell))
    layer = ports(
        first,
        Fallback("comfyui", {"direct": lambda: direct}, tell=tell),
        Retry("comfyui", policy=policy, tell=tell),
        Breaker("comfyui", probe=first.status, policy=probing, tell=tell),
    )
    for _ in range(10):
        assert (await layer.synthesize(HELLO)).backend == "direct"
    assert len(first.calls) == 3
    assert len(other.calls) == 10
    await layer.aclose()


async def test_while_the_breaker_is_open_callers_may_retry_later_even_if_the_fallback_fails_too(
    scripted, ports, heard
):
    first, draft = scripted("comfyui", DOWN), scripted("draft", *[InvalidRequest("No.")] * 2)
    tell, policy = heard.append, BreakerConfig(failures=1, probe_seconds=7.0)
    layer = ports(
        first,
        Fallback("comfyui", {"draft": lambda: Dispatcher(draft, "draft")}, tell=tell),
        Retry("comfyui", policy=RetryConfig(attempts=3), tell=tell),
        Breaker("comfyui", probe=first.status, policy=policy, tell=tell),
    )
    for asked in (SpeechRequest("Hello.", "Ryan"), HELLO):
        with pytest.raises(
            BackendUnavailable, match=r"next probe in 7 s.*draft failed too"
        ) as told:
            await layer.synthesize(asked)
        assert (told.value.retryable, told.value.retry_after) == (True, 7.0)
    assert len(first.calls) == 1
    await layer.aclose()


# Several, in their order


NO_TORCH = BackendUnavailable("No torch.", retryable=False)


async def test_each_fallback_has_its_turn_and_the_result_says_why(scripted, falling_back, heard):
    first, direct, draft = (
        scripted("comfyui", DOWN),
        scripted("direct", NO_TORCH),
        scripted("draft"),
    )
    layer = falling_back(first, direct=direct, draft=draft)
    assert (await layer.status()).details["fallback"] == "direct, draft"
    speech = await layer.synthesize(HELLO)
    assert speech.backend == "draft"
    assert speech.warnings == (
        "draft was used because comfyui was unavailable: No server at :8188. "
        "The fallback direct failed too: No torch.",
    )
    assert heard == [
        FellBack("synthesize", "comfyui", "direct", DOWN),
        FellBack("synthesize", "direct", "draft", NO_TORCH),
    ]
    await layer.aclose()
    assert (first.closed, direct.closed, draft.closed) == (1, 1, 1)


async def test_messages_of_third_parties_without_full_stops_are_sentences(scripted, falling_back):
    down, broken = BackendUnavailable("acme is down"), BackendUnavailable("and so is draft")
    layer = falling_back(scripted("acme", down), draft=scripted("draft", broken))
    with pytest.raises(BackendUnavailable) as caught:
        await layer.synthesize(HELLO)
    said = "acme is down. The fallback draft failed too: and so is draft."
    assert caught.value.message == said


async def test_one_that_lacks_the_port_is_passed_over(scripted, falling_back, heard):
    draft = scripted("draft")
    draft.capabilities = Capabilities(speech=True)
    layer = falling_back(scripted("comfyui", DOWN), draft=draft, direct=scripted("direct"))
    assert (await layer.clone(CLONE)).backend == "direct"
    assert heard == [FellBack("clone", "comfyui", "direct", DOWN)]
    assert draft.calls == []


async def test_one_that_tried_and_failed_is_the_last(scripted, falling_back):
    direct, draft = scripted("direct", OutOfMemory("No memory.")), scripted("draft")
    layer = falling_back(scripted("comfyui", DOWN), direct=direct, draft=draft)
    with pytest.raises(
        OutOfMemory, match=r"No server at :8188\. The fallback direct failed too: No"
    ):
        await layer.synthesize(HELLO)
    assert draft.calls == []


async def test_when_all_refuse_the_error_is_the_first_one_and_tells_of_all(scripted, falling_back):
    direct = scripted("direct", NO_TORCH)
    draft = scripted("draft", InvalidRequest("No checkpoints here."))
    with pytest.raises(BackendUnavailable) as caught:
        await falling_back(scripted("comfyui", DOWN), direct=direct, draft=draft).synthesize(HELLO)
    assert caught.value.message == (
        "No server at :8188. The fallback direct failed too: No torch. "
        "The fallback draft failed too: No checkpoints here."
    )
    assert caught.value.hint == "Start ComfyUI."
