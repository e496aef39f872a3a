"""Streams that are heard while they are made: the direct backend on tiny models."""

import base64
import json
import re

import httpx
import openai
import pytest

from storycore_tts import StoredVoice
from storycore_tts.services.voices import VoiceLibrary

from .serving import config, serving
from .sounds import RATES, decoded, recording

LINE = "Once upon a time, a small robot learned to sing."
LONGEST = 4096  # frames that the model which never ends would speak


@pytest.fixture(scope="module")
def url(tiny_places, endless_tiny_places, folder):
    endless = endless_tiny_places["1.7B-CustomVoice"]
    voice = StoredVoice("Endless", checkpoint=endless, speaker="ryan")
    VoiceLibrary(folder / "voices").add(voice)
    settings = {
        "backend": "direct",
        "device": "cpu",
        "precision": "fp32",
        "retry": {"attempts": 1},
        "direct": {"models": tiny_places, "max_loaded_models": 3},
    }
    with serving(config(folder, **settings, server={"requests_per_minute": None})) as url:
        yield url


@pytest.fixture
async def client(url):
    async with openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=90
    ) as client:
        yield client


def asked(client, **more):
    usual = {"model": "qwen3-tts", "voice": "Ryan", "input": LINE, "response_format": "wav"}
    return client.audio.speech.with_streaming_response.create(**{**usual, **more})


async def counted(url, name):
    """What the service's metrics of that name add up to."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        text = (await http.get("/metrics")).text
    found = re.findall(rf"^storycore_tts_{name}{{.*}} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


async def events_of(answer):
    async for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def extended(events, more):
    async for event in more:
        events.append(event)


@pytest.mark.parametrize("kind", ["wav", "opus"])  # each format: test_openai_speech.py
async def test_a_stream_joins_to_a_file(client, kind):
    seeded = {"seed": 7}
    async with asked(client, response_format="pcm", extra_body=seeded) as answer:
        plain = decoded(await answer.read(), "pcm")
    async with asked(
        client, response_format=kind, stream_format="audio", extra_body=seeded
    ) as answer:
        streamed = decoded(b"".join([piece async for piece in answer.iter_bytes()]), kind)
    assert streamed.rate == RATES[kind]
    assert streamed.duration == pytest.approx(plain.duration, abs=0.12)
    assert streamed.peak > 0.05


async def test_a_cloned_recording_comes_in_events_that_join_to_a_file(client):
    sent = "data:audio/wav;base64," + base64.b64encode(recording()).decode()
    more = {"ref_audio": sent, "ref_text": "La la la."}
    async with asked(client, response_format="mp3", stream_format="sse", extra_body=more) as answer:
        *deltas, done = [event async for event in events_of(answer)]
    assert len(deltas) > 1
    sound = decoded(b"".join(base64.b64decode(one["audio"]) for one in deltas), "mp3")
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["output_tokens"] == pytest.approx(sound.duration * 12.5, abs=2)


@pytest.mark.parametrize(("kind", "how"), [("wav", "audio"), ("mp3", "audio"), ("opus", "sse")])
async def test_the_first_bytes_come_while_the_rest_is_made(client, url, kind, how):
    before = await counted(url, "requests_total")
    longest = {"max_new_tokens": LONGEST}
    async with asked(
        client, voice="Endless", response_format=kind, stream_format=how, extra_body=longest
    ) as answer:
        pieces = answer.iter_bytes()
        heard = b""
        while len(heard) < 1000:
            heard += await anext(pieces)
        assert await counted(url, "requests_total") == before
        assert await counted(url, "requests_in_progress") == 1
        await answer.close()
    # The client hung up in mid-stream: the work ends, though the model would go on.
    while await counted(url, "requests_in_progress"):
        pass
    assert await counted(url, "requests_total") == before + 1


async def test_a_plain_request_is_answered_while_it_is_made(client, url):
    """In formats without a length; a wav that is kept as a file should tell its own."""
    before = await counted(url, "requests_total")
    longest = {"max_new_tokens": LONGEST}
    async with asked(client, voice="Endless", response_format="mp3", extra_body=longest) as answer:
        pieces = answer.iter_bytes()
        assert await anext(pieces)
        assert answer.headers["speech-backend"] == "direct"
        assert "speech-duration" not in answer.headers
        assert await counted(url, "requests_total") == before
        await answer.close()
    while await counted(url, "requests_in_progress"):
        pass
    async with asked(client) as answer:
        assert float(answer.headers["speech-duration"]) > 0.5


async def test_a_stream_that_fails_says_so_and_the_service_goes_on(client, capfd):
    failing = {"voice": "Endless", "extra_body": {"max_new_tokens": 64}}
    events = []
    async with asked(client, stream_format="sse", **failing) as answer:
        with pytest.raises(Exception, match="without sending complete"):
            await extended(events, events_of(answer))
    *deltas, last = events
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert last["type"] == "speech.audio.error"
    assert last["error"]["type"] == "server_error"
    assert "did not stop speaking" in last["error"]["message"]

    async def cut_off():
        async with asked(client, stream_format="audio", **failing) as answer:
            await answer.read()

    with pytest.raises(Exception, match="without sending complete"):  # of whichever HTTP library
        await cut_off()
    assert "Traceback" not in capfd.readouterr().err
    async with asked(client) as answer:
        assert decoded(await answer.read(), "wav").duration > 0.5
