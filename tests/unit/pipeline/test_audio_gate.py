"""What is not speech is an error, whichever adapter delivers it."""

from __future__ import annotations

import numpy as np
import pytest

from storycore_tts.domain.events import AttemptFailed
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import GenerationFailed, RunawayGeneration, SilentAudio
from storycore_tts.pipeline.retry import Retry
from storycore_tts.ports import SpeechChunk
from storycore_tts.settings import RetryConfig

pytestmark = pytest.mark.virtual_clock

HELLO = SpeechRequest("Hello.", "Ryan", sampling=Sampling(max_new_tokens=26))  # 2 s, 25 frames
SECOND = np.full(24_000, 0.5, np.float32)
BAD = [
    (np.zeros(24_000, np.float32), {}, SilentAudio, "'other' delivered 1.0 s of silence"),
    (np.zeros(0, np.float32), {}, SilentAudio, "0.0 s of silence"),
    (np.full(24_000, np.nan, np.float32), {}, GenerationFailed, "not numbers"),
    (SECOND.astype(np.float64), {}, GenerationFailed, "float64"),
    ([0.5] * 24_000, {}, GenerationFailed, "list"),
    (np.stack([SECOND, SECOND]), {}, GenerationFailed, r"shape \(2, 24000\)"),
    (SECOND, {"sample_rate": 16_000}, GenerationFailed, "16000 Hz instead of 24000 Hz"),
    (np.tile(SECOND, 2), {"seed": 7}, RunawayGeneration, "2.0 s of audio fill the token budget"),
    (SECOND, {"cutoff": 1.0}, RunawayGeneration, "did not stop speaking"),
]
GOOD = [
    (np.tile(SECOND, 2)[:-1], {"seed": 7}),
    (np.tile(SECOND, 3), {}),  # without a seed, there are no tokens
    (np.tile(SECOND, 3), {"seed": 7, "cutoff": 40.0}),  # the backend's own limit is another one
]


class Other:
    """An adapter of a third party."""

    def __init__(self, scripted, *results):
        self.results, self.calls = list(results), 0
        self.capabilities = scripted("other").capabilities

    def _next(self):
        self.calls += 1
        samples, facts = self.results.pop(0)
        return {"samples": samples, "sample_rate": 24_000, "backend": "other", **facts}

    async def synthesize(self, request, *, on_progress=None):
        return Speech(**self._next(), model="m")

    async def synthesize_stream(self, request, *, on_progress=None):
        while self.results:
            yield SpeechChunk(**{"seed": None, "start": 0.0, **self._next()})

    async def speakers(self):
        return []

    async def status(self):
        raise NotImplementedError

    async def aclose(self):
        pass


@pytest.mark.parametrize(("samples", "facts", "kind", "said"), BAD)
async def test_bad_audio_is_an_error(scripted, ports, samples, facts, kind, said):
    with pytest.raises(kind, match=said) as raised:
        await ports(Other(scripted, (samples, facts))).synthesize(HELLO)
    assert type(raised.value) is kind
    assert raised.value.backend == "other"
    assert raised.value.retryable is (kind is not GenerationFailed)


@pytest.mark.parametrize("result", [0, b"RIFF", SECOND], ids=lambda one: type(one).__name__)
async def test_what_is_no_speech_at_all_is_an_error_of_the_adapter(scripted, ports, result):
    other = Other(scripted)

    async def synthesize(request, *, on_progress=None):
        return result

    async def synthesize_stream(request, *, on_progress=None):
        yield result

    other.synthesize, other.synthesize_stream = synthesize, synthesize_stream
    said = f"{type(result).__name__} instead of Speech"
    with pytest.raises(GenerationFailed, match=said):
        await ports(other).synthesize(HELLO)
    with pytest.raises(GenerationFailed, match=f"{said}Chunk"):
        [_ async for _ in ports(other).synthesize_stream(HELLO)]


@pytest.mark.parametrize(("samples", "facts"), GOOD)
async def test_speech_passes(scripted, ports, samples, facts):
    speech = await ports(Other(scripted, (samples, facts))).synthesize(HELLO)
    assert speech.samples is samples


async def test_bad_luck_is_tried_again(scripted, ports, heard):
    adapter = Other(scripted, BAD[0][:2], (SECOND, {}))
    retry = Retry("other", policy=RetryConfig(), tell=heard.append)
    assert (await ports(adapter, retry).synthesize(HELLO)).duration == 1.0
    assert [type(event.error) for event in heard.of(AttemptFailed)] == [SilentAudio]


@pytest.mark.parametrize(
    ("samples", "facts", "kind", "said"),
    [one for one in BAD if "cutoff" not in one[1] and one[2] is not SilentAudio],
)
async def test_a_stream_ends_at_the_first_bad_chunk(scripted, ports, samples, facts, kind, said):
    adapter, passed = Other(scripted, (SECOND[:2400], {}), (samples, facts), (SECOND, {})), []
    with pytest.raises(kind, match=said.replace("2.0 s", "2.1 s")):
        [passed.append(chunk) async for chunk in ports(adapter).synthesize_stream(HELLO)]
    assert len(passed) == 1
    assert adapter.calls == 2


async def test_a_stream_is_silent_only_if_all_of_it_is(scripted, ports):
    silence = BAD[0][:2]
    for chunks, heard in (([silence, (SECOND, {})], 2), ([(SECOND, {}), silence], 2)):
        stream = ports(Other(scripted, *chunks)).synthesize_stream(HELLO)
        assert len([chunk async for chunk in stream]) == heard
    for chunks in ([silence, silence], []):
        with pytest.raises(SilentAudio):
            async for _ in ports(Other(scripted, *chunks)).synthesize_stream(HELLO):
                pass
