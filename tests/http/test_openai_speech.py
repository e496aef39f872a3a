"""Speech, as OpenAI's own package asks for it."""

import asyncio
import base64
import json
import re

import httpx
import openai
import pytest

from storycore_tts.testing.comfyui import StandInComfyUI

from .serving import node_inputs, on_comfyui, serving
from .sounds import FORMATS, RATES, decoded, recording

LINE = "Once upon a time, a small robot learned to sing."
KINDS = {"mp3": "mpeg", "opus": "ogg; codecs=opus"}


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI(modern=True) as server:
        yield server


@pytest.fixture(scope="module")
def url(comfyui, tmp_path_factory):
    folder = tmp_path_factory.mktemp("here")
    with serving(on_comfyui(folder, comfyui, server={"backends": ["draft"]})) as url:
        yield url


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(url):
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def spoken(client, kind, **more):
    given = {"model": "draft", "voice": "Serena", "input": LINE, **more}
    answer = client.audio.speech.create(response_format=kind, **given)
    assert answer.response.headers["content-type"] == f"audio/{KINDS.get(kind, kind)}"
    return decoded(answer.read(), kind)


def events_of(answer):
    """The names and the data of server-sent events, as they come."""
    lines = iter(answer.iter_lines())
    for line in lines:
        assert line.startswith("event: ")
        data = next(lines)
        assert data.startswith("data: ")
        event = json.loads(data.removeprefix("data: "))
        assert event["type"] == line.removeprefix("event: ")
        assert next(lines) == ""
        yield event


@pytest.fixture(scope="module")
def wav(url):
    """The line as it is spoken at its usual pace."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        return spoken(client, "wav")


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_holds_the_same_speech(client, wav, kind):
    sound = spoken(client, kind)
    assert sound.rate == RATES[kind]
    assert sound.duration == pytest.approx(wav.duration, rel=0.05)
    assert sound.heard == pytest.approx(wav.heard, rel=0.03)
    assert sound.peak == pytest.approx(wav.peak, abs=0.15)
    assert wav.peak > 0.2


def test_mp3_is_what_who_names_no_format_gets(client, wav):
    answer = client.audio.speech.create(model="draft", voice="Serena", input=LINE)
    assert decoded(answer.read(), "mp3").heard > 1
    headers = answer.response.headers
    assert headers["content-type"] == "audio/mpeg"
    assert headers["speech-backend"] == "draft"
    assert float(headers["speech-duration"]) == pytest.approx(wav.duration, 0.01)


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_the_pace_changes_and_the_pitch_stays(client, wav, speed):
    paced = spoken(client, "wav", speed=speed)
    assert paced.heard == pytest.approx(wav.heard / speed, rel=0.05)
    assert paced.pitch == pytest.approx(wav.pitch, rel=0.04)


async def test_the_asynchronous_client_speaks_too(aclient):
    answer = await aclient.audio.speech.create(
        model="qwen3-tts",
        voice={"id": "Ryan"},
        input=LINE,
        instructions="warmly",
        response_format="wav",
        extra_body={"language": "English", "seed": 7, "max_new_tokens": 512},
    )
    assert decoded(answer.content, "wav").heard > 1
    assert answer.response.headers["speech-seed"] == "7"
    assert answer.response.headers["speech-backend"] == "comfyui"


def test_names_that_clients_have_built_in_mean_the_usual_backend(client):
    for model in ("tts-1", "gpt-4o-mini-tts", "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"):
        answer = client.audio.speech.create(model=model, voice="Ryan", input="Hello.")
        assert answer.response.headers["speech-backend"] == "comfyui"


# --- streams


@pytest.mark.parametrize(("model", "kind"), [("draft", "wav"), ("qwen3-tts", "opus")])
def test_a_stream_of_audio_joins_to_a_file(client, kind, model):
    """Neither backend streams: the file comes in pieces when it is there."""
    with client.audio.speech.with_streaming_response.create(
        model=model, voice="Serena", input=LINE, response_format=kind, stream_format="audio"
    ) as answer:
        assert answer.headers["content-type"] == f"audio/{KINDS.get(kind, kind)}"
        sound = decoded(b"".join(answer.iter_bytes()), kind)
    assert sound.heard > 1
    assert sound.rate == RATES[kind]


@pytest.mark.parametrize("how", [{"stream_format": "sse"}, {"extra_body": {"stream": True}}])
def test_a_stream_of_events_joins_to_a_file(client, wav, how):
    with client.audio.speech.with_streaming_response.create(
        model="draft", voice="Serena", input=LINE, response_format="mp3", **how
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        *deltas, done = list(events_of(answer))
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    sound = decoded(b"".join(base64.b64decode(event["audio"]) for event in deltas), "mp3")
    assert sound.heard == pytest.approx(wav.heard, rel=0.03)
    assert done["type"] == "speech.audio.done"
    usage = done["usage"]
    assert usage["input_tokens"] == len(LINE)
    assert usage["output_tokens"] == pytest.approx(sound.duration * 12.5, abs=2)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_a_stream_at_another_pace_is_stretched_as_a_whole(client, wav):
    with client.audio.speech.with_streaming_response.create(
        model="draft",
        voice="Serena",
        input=LINE,
        response_format="wav",
        stream_format="audio",
        speed=2,
    ) as answer:
        sound = decoded(answer.read(), "wav")
    assert sound.heard == pytest.approx(wav.heard / 2, rel=0.05)


# --- clones


def reference():
    return "data:audio/wav;base64," + base64.b64encode(recording()).decode()


def test_a_recording_that_is_sent_along_is_cloned(client, comfyui):
    answer = client.audio.speech.create(
        model="qwen3-tts",
        voice="whoever",
        input=LINE,
        response_format="wav",
        extra_body={"ref_audio": reference(), "ref_text": "La la la.", "task_type": "Base"},
    )
    assert decoded(answer.read(), "wav").heard > 1
    assert node_inputs(comfyui)["ref_text"] == "La la la."
    assert node_inputs(comfyui)["x_vector_only"] is False


def test_only_the_timbre_of_a_recording_can_be_taken(client, comfyui):
    more = {"ref_audio": reference(), "x_vector_only_mode": True}
    client.audio.speech.create(model="qwen3-tts", voice="x", input=LINE, extra_body=more)
    assert node_inputs(comfyui)["x_vector_only"] is True


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ref_audio": "http://127.0.0.1/etc"}, "Addresses and files are not fetched"),
        ({"ref_audio": "file:///etc/passwd"}, "Addresses and files are not fetched"),
        ({"ref_audio": "data:audio/wav;base64,!!!"}, "no valid base64"),
        ({"ref_text": "La la la."}, "there is none"),
        ({"x_vector_only_mode": True}, "there is none"),
        ({"task_type": "VoiceDesign"}, "cannot be designed"),
        ({"nonsense": 1}, "nonsense"),
        ({"speed": 9}, "less than or equal to 4"),
    ],
)
def test_what_cannot_be_done_is_refused(client, more, words):
    with pytest.raises(openai.UnprocessableEntityError, match=words):
        client.audio.speech.create(model="qwen3-tts", voice="Ryan", input=LINE, extra_body=more)


def test_a_clone_takes_a_sound_and_no_instructions(client):
    noise = "data:audio/wav;base64," + base64.b64encode(b"no sound at all" * 100).decode()
    for sent, more, status, words in (
        (reference(), {"instructions": "sadly"}, 422, "takes no instructions"),
        (noise, {}, 415, "none of the sound files"),
    ):
        with pytest.raises(openai.APIStatusError, match=words) as refused:
            client.audio.speech.create(
                model="qwen3-tts", voice="x", input=LINE, extra_body={"ref_audio": sent}, **more
            )
        assert refused.value.status_code == status


# --- models


def test_models_are_listed_and_found(client):
    assert [model.id for model in client.models.list()] == ["qwen3-tts", "comfyui", "draft"]
    assert client.models.retrieve("draft").id == "draft"
    repository = "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"
    assert client.models.retrieve(repository).id == repository
    with pytest.raises(openai.NotFoundError, match="qwen3-tts, comfyui, draft"):
        client.models.retrieve("gpt-2")


# --- errors


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError, match="no such model") as refused:
        client.audio.speech.create(model="whisper-1", voice="Ryan", input=LINE)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.code is None


@pytest.mark.parametrize("how", [{}, {"stream_format": "sse"}], ids=["whole", "as a stream"])
def test_an_unknown_voice_is_refused_with_the_list_before_anything_is_sent(client, how):
    with (
        pytest.raises(openai.UnprocessableEntityError, match=r"Ryan.*Serena") as refused,
        client.audio.speech.with_streaming_response.create(
            model="qwen3-tts", voice="alloy", input=LINE, **how
        ),
    ):
        pass
    assert refused.value.code == "unknown-speaker"


def test_a_field_that_is_wrong_is_named(client):
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.audio.speech.create(model="draft", voice="Ryan", input=LINE, response_format="wma")
    assert refused.value.param == "response_format"


def test_a_broken_body_is_a_bad_request(url):
    answer = httpx.post(
        f"{url}/v1/audio/speech", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


# --- clients that leave


@pytest.mark.parametrize("how", [None, "audio", "sse"])
async def test_who_hangs_up_stops_the_backend(aclient, comfyui, url, how):
    gate = comfyui.faults.hold("running")
    more = {} if how is None else {"stream_format": how}
    asking = asyncio.ensure_future(
        aclient.audio.speech.create(model="qwen3-tts", voice="Ryan", input=LINE, **more)
    )
    assert await asyncio.to_thread(gate.reached.wait, 30)
    prompt = comfyui.log.submitted[-1]
    asking.cancel()
    await asyncio.wait([asking])
    assert await comfyui.log.until(lambda log: prompt in log.interrupt_requests, 30)
    gate.release()
    assert await comfyui.log.until(lambda log: prompt in log.interrupted, 30)
    async with httpx.AsyncClient(base_url=url) as http:
        while await under_way(http):
            pass


async def under_way(http):
    """How many requests the service is working on."""
    text = (await http.get("/metrics")).text
    counts = re.findall(r"^storycore_tts_requests_in_progress\{.*\} (\S+)$", text, re.M)
    return sum(map(float, counts))
