"""A backend that speaks whole lines is heard after each sentence."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import BackendUnavailable, SilentAudio
from storycore_tts.ports import BackendStatus, Capabilities
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.speech_service import SpeechService

TEXT = "The first of them is here. The second one comes now. And this is the last."
RATE = 24_000


class Gated:
    """Speaks each line when it is let to: a second of sound between two of silence."""

    capabilities = Capabilities(speech=True)

    def __init__(self):
        self.asked, self.gates, self.speaking = [], {}, 0
        self.names = ["gated"] * 3  # of the backends that speak the sentences

    async def synthesize(self, request, *, on_progress=None):
        number = len(self.asked)
        self.asked.append(request)
        self.speaking += 1
        try:
            await self.gates.setdefault(number, asyncio.Event()).wait()
        finally:
            self.speaking -= 1
        silence, sound = np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32)
        if request.text.startswith("Nothing"):
            raise SilentAudio("Nothing is heard.")
        samples = np.concatenate([silence, sound, silence])
        return Speech(samples, RATE, self.names[number], "m", seed=request.sampling.seed)

    async def speakers(self):
        return []

    async def status(self):
        return BackendStatus("gated", True)

    async def aclose(self):
        pass

    def open(self, number):
        self.gates.setdefault(number, asyncio.Event()).set()

    async def asked_for(self, count):
        while len(self.asked) < count:
            await asyncio.sleep(0)


@pytest.fixture
def backend():
    return Gated()


@pytest.fixture
def speech_service(backend):
    tts = TextToSpeech(backend, name="gated", defaults=Defaults())
    capacity = Capacity("gated", concurrency=1, max_waiting=0)
    return SpeechService({"gated": tts}, {"gated": capacity}, store=None, elsewhere=None)


def stream(speech_service, text=TEXT, **rendering):
    request = SpeechRequest(text, "Ryan", language="English")
    return aclosing(
        speech_service.stream(None, request, Rendering(**{"format": "pcm", **rendering}))
    )


async def heard(pieces):
    return b"".join([piece.data async for piece in pieces])


async def test_the_first_sentence_is_heard_while_the_next_is_spoken_and_none_beyond_it(
    speech_service, backend
):
    async with stream(speech_service) as pieces:
        backend.open(0)
        await anext(pieces)
        await backend.asked_for(2)
        backend.open(1)
        backend.open(2)
        while speech_service.capacities["gated"].waiting or backend.speaking:
            await asyncio.sleep(0)
        assert len(backend.asked) == 2  # the third waits until somebody listens to the second
        rest = [piece async for piece in pieces]
    assert rest
    assert [request.text for request in backend.asked] == [
        "The first of them is here.",
        "The second one comes now.",
        "And this is the last.",
    ]
    assert len({request.sampling.seed for request in backend.asked}) == 1
    assert backend.asked[0].sampling.seed is not None


async def test_sentences_are_joined_with_a_pause_in_place_of_their_own_silence(
    speech_service, backend
):
    for number in range(3):
        backend.open(number)
    async with stream(speech_service) as pieces:
        data = await heard(pieces)
    samples = np.frombuffer(data, "<i2")
    changes = np.flatnonzero(np.diff((samples != 0).astype(int))) / RATE
    # 1 s of silence at the very beginning; pauses of 0.4 s and what is left around the sounds.
    assert changes == pytest.approx([1.0, 2.0, 2.5, 3.5, 4.0, 5.0], abs=0.01)
    assert len(samples) / RATE == pytest.approx(6.0, abs=0.01)


async def test_another_pace_streams_too(speech_service, backend):
    backend.open(0)
    async with stream(speech_service, speed=2.0) as pieces:
        assert (await anext(pieces)).data
        for number in (1, 2):
            backend.open(number)
        seconds = [piece.seconds async for piece in pieces]
    assert sum(seconds) < 3.0


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_who_leaves_takes_the_sentence_that_was_begun_along(speech_service, backend, how):
    backend.open(0)
    async with stream(speech_service) as pieces:
        await anext(pieces)
        await backend.asked_for(2)
        if how == "cancelled":
            listening = asyncio.ensure_future(heard(pieces))
            while not speech_service.capacities["gated"].waiting and not backend.speaking:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            listening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await listening
    assert backend.speaking == 0
    assert speech_service.capacities["gated"].idle


async def test_a_sentence_that_fails_ends_the_stream_with_its_error(speech_service, backend):
    backend.open(0)
    backend.open(1)
    text = "This one is heard well. Nothing is heard of this. Or this."
    async with stream(speech_service, text) as pieces:
        with pytest.raises(SilentAudio):
            await heard(pieces)
    assert len(backend.asked) == 2


async def test_a_fallback_speaks_no_later_sentence(speech_service, backend):
    backend.names = ["gated", "draft", "draft"]
    for number in range(3):
        backend.open(number)
    async with stream(speech_service) as pieces:
        with pytest.raises(BackendUnavailable, match="was generated by draft"):
            await heard(pieces)
