"""Speech, as OpenAI's own package asks for it."""

import asyncio
import base64
import json
import re

import httpx
import openai
import pytest

from storycore_tts.testing.comfyui import NodeError

from .serving import node_inputs, on_comfyui, serving
from .sounds import FORMATS, RATES, TYPES, decoded, recording

LINE = "Once upon a time, a small robot learned to sing."
MODELS = ["qwen3-tts", "comfyui", "draft"]


@pytest.fixture(scope="module")
def url(comfyui, folder):
    with serving(on_comfyui(folder, comfyui.url, server={"backends": ["draft"]})) as url:
        yield url


@pytest.fixture
async def aclient(url):
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def spoken(client, kind, **more):
    given = {"model": "draft", "voice": "Serena", "input": LINE, "response_format": kind, **more}
    with client.audio.speech.with_streaming_response.create(**given) as answer:
        assert answer.headers["content-type"] == TYPES[kind]
        return decoded(b"".join(answer.iter_bytes()), kind)


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
def wav(client):
    """The line as it is spoken at its usual pace."""
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


@pytest.mark.parametrize("how", [{}, {"stream_format": "audio"}], ids=["whole", "as a stream"])
def test_the_pace_changes_and_the_pitch_stays(client, wav, how):
    paced = spoken(client, "wav", speed=2.0, **how)
    assert paced.heard == pytest.approx(wav.heard / 2, rel=0.05)
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


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stream_of_audio_joins_to_a_file(client, wav, kind):
    sound = spoken(client, kind, stream_format="audio")
    assert sound.heard == pytest.approx(wav.heard, rel=0.03)
    assert sound.rate == RATES[kind]


TWO = "Once upon a time there was a robot. One fine day it learned to sing."


@pytest.mark.parametrize("how", [{"stream_format": "audio"}, {"stream_format": "sse"}])
async def test_a_backend_that_does_not_stream_is_heard_after_each_sentence(aclient, comfyui, how):
    """The second sentence is held; who hangs up then takes it off the server."""
    gate = comfyui.faults.hold("running", after=1)
    given = {"model": "qwen3-tts", "voice": "Ryan", "input": TWO, "response_format": "mp3", **how}
    async with aclient.audio.speech.with_streaming_response.create(**given) as answer:
        pieces = answer.iter_bytes()
        assert await anext(pieces)
        assert int(answer.headers["speech-seed"]) == node_inputs(comfyui)["seed"]
        assert answer.headers["speech-backend"] == "comfyui"
        assert await asyncio.to_thread(gate.reached.wait, 30)
        prompt = comfyui.log.submitted[-1]
        await answer.close()
    assert await comfyui.log.until(lambda log: prompt in log.interrupt_requests, 30)
    gate.release()


@pytest.mark.parametrize("how", ["audio", "sse"])
def test_a_stream_that_fails_after_a_sentence_has_no_clean_end(http, comfyui, how):
    """LiveKit skips events of an error."""
    comfyui.faults.add(NodeError(after=1))
    given = {"model": "qwen3-tts", "voice": "Ryan", "input": TWO, "stream_format": how}
    came = []
    with http.stream("POST", "/v1/audio/speech", json=given) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            came.extend(answer.iter_bytes())
    assert how == "audio" or b"event: speech.audio.error" in b"".join(came)


def test_mp3s_play_when_they_are_joined(client, wav):
    """Without the index that tells a length, which players believe of the first one."""
    given = {"model": "draft", "voice": "Serena", "input": LINE}
    files = [
        client.audio.speech.create(**given).read(),
        client.audio.speech.create(**given, stream_format="audio").read(),
    ]
    assert not any(mark in b"".join(files) for mark in (b"Xing", b"Info"))
    assert decoded(b"".join(files), "mp3").duration == pytest.approx(2 * wav.duration, abs=0.3)


def test_pieces_of_mp3_begin_with_a_frame_and_those_of_pcm_are_whole_samples(client):
    for kind in ("mp3", "pcm"):
        given = {"model": "draft", "voice": "Serena", "input": TWO, "response_format": kind}
        with client.audio.speech.with_streaming_response.create(
            **given, stream_format="sse"
        ) as answer:
            *deltas, _ = events_of(answer)
        pieces = [base64.b64decode(event["audio"]) for event in deltas]
        assert len(pieces) > 2
        if kind == "mp3":
            assert pieces[0][:3] == b"ID3"
            assert {piece[:2] for piece in pieces[1:]} == {b"\xff\xf3"}
        else:
            assert {len(piece) % 2 for piece in pieces} == {0}


def test_a_stream_of_no_named_kind_is_bytes(client):
    """SillyTavern, TTS-WebUI and Kokoro's clients send it so."""
    sound = spoken(client, "wav", extra_body={"stream": True})
    assert sound.heard > 1


ACCEPTED = {"extra_body": {"stream": True}, "extra_headers": {"Accept": "text/event-stream"}}


@pytest.mark.parametrize("how", [{"stream_format": "sse"}, ACCEPTED], ids=["named", "accepted"])
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


# --- clones


def data_url(data):
    return "data:audio/wav;base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("more", "inputs"),
    [
        (
            {"transcript": "La la la.", "task_type": "Base"},
            {"ref_text": "La la la.", "x_vector_only": False},
        ),
        ({"x_vector_only_mode": True}, {"x_vector_only": True}),
    ],
    ids=["with its words", "only its timbre"],
)
def test_a_recording_that_is_sent_along_is_cloned(client, comfyui, more, inputs):
    sent = {"ref_audio": data_url(recording()), "instructions": "sadly", **more}
    answer = client.audio.speech.create(
        model="qwen3-tts", voice="whoever", input=LINE, response_format="wav", extra_body=sent
    )
    assert decoded(answer.content, "wav").heard > 1
    assert answer.response.headers["speech-ignored"] == '["instructions"]'
    assert inputs.items() <= node_inputs(comfyui).items()


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"ref_audio": "file:///etc/passwd"}, 400, "URLs and files are not fetched"),
        ({"ref_audio": "data:audio/wav;base64,!!!"}, 400, "not valid base64"),
        ({"ref_audio": data_url(b"no sound at all" * 100)}, 415, "not a supported audio file"),
        ({"ref_text": "La la la."}, 400, "ref_audio is missing"),
        ({"x_vector_only_mode": True}, 400, "ref_audio is missing"),
        ({"task_type": "VoiceDesign"}, 400, "does not support voice design"),
        ({"speed": 9}, 400, "less than or equal to 4"),
        ({"model": "direct"}, 404, "no such model"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_what_cannot_be_done_is_refused(client, more, status, words):
    with pytest.raises(openai.APIStatusError, match=words) as refused:
        client.audio.speech.create(model="qwen3-tts", voice="Ryan", input=LINE, extra_body=more)
    assert refused.value.status_code == status
    assert refused.value.type == "invalid_request_error"


@pytest.mark.parametrize("value", [0, 6, float("nan"), True, "hot", [1]], ids=str)
def test_a_parameter_out_of_range_is_named_with_its_range(url, value):
    told = "body.temperature: Input should be a number from 0.01 to 5"
    body = json.dumps({"voice": "Ryan", "input": LINE, "temperature": value})
    json_type = {"Content-Type": "application/json"}
    answer = httpx.post(f"{url}/v1/audio/speech", content=body, headers=json_type)
    error = answer.json()["error"]
    assert (answer.status_code, error["message"], error["param"]) == (400, told, "temperature")


# --- models


def test_models_are_listed_and_found(client):
    assert [model.id for model in client.models.list()] == MODELS
    repository = "Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"
    for model in ("draft", repository):
        assert client.models.retrieve(model).id == model
    with pytest.raises(openai.NotFoundError, match=", ".join(MODELS)):
        client.models.retrieve("gpt-2")


# --- errors


@pytest.mark.parametrize("how", [{}, {"stream_format": "sse"}], ids=["whole", "as a stream"])
def test_an_unknown_voice_is_refused_with_the_list_before_anything_is_sent(client, how):
    with (
        pytest.raises(openai.BadRequestError, match=r"Ryan.*Serena") as refused,
        client.audio.speech.with_streaming_response.create(
            model="qwen3-tts", voice="Emily", input=LINE, **how
        ),
    ):
        pass
    assert refused.value.code == "unknown-speaker"


def test_a_field_that_is_wrong_is_named(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(model="draft", voice="Ryan", input=LINE, response_format="wma")
    assert refused.value.param == "response_format"


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
    in_progress = r"^storycore_tts_requests_in_progress\{.*\} [1-9]"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while re.search(in_progress, (await http.get("/metrics")).text, re.M):
            pass
