"""What well-known clients send as they are shipped, and what each of them expects back."""

import asyncio
import base64
import json
from dataclasses import dataclass, field

import httpx
import pytest

from storycore_tts.domain.voice_ids import OPENAI_VOICES

from .attacks import logged
from .serving import GENERATE, config, serving
from .sounds import TYPES, decoded

LINE = "Good evening, and welcome."
SPEECH = "/v1/audio/speech"
SILLYTAVERN, OBSIDIAN = "http://127.0.0.1:8000", "app://obsidian.md"
READ_ALOUD, FIREFOX = "chrome-extension://hdhinadidafjejdhmfkjgnolgimiaplp", "moz-extension://4f5a"
ALLOWED = [SILLYTAVERN, OBSIDIAN, "chrome-extension://*", "moz-extension://*"]


@pytest.fixture(scope="module")
def url(folder):
    server = {"allowed_origins": ALLOWED, "requests_per_minute": None}
    with serving(config(folder, server=server)) as url:
        yield url


@dataclass
class Client:
    """One client: its body, besides the text; what it sends besides; and what comes back."""

    name: str
    body: dict
    kind: str = "mp3"
    headers: dict = field(default_factory=dict)
    ignored: list = field(default_factory=list)


def mp3(**body):
    return {"response_format": "mp3", **body}


TTS1 = {"model": "tts-1", "voice": "alloy"}
TTS_WEBUI = {
    "model": "chatterbox",
    "voice": "",
    "response_format": "wav",
    "speed": 1,
    "params": {"exaggeration": 0.5, "seed": -1},
}
CLIENTS = [
    Client("Open WebUI", TTS1),
    Client("SillyTavern", mp3(**TTS1, speed=1), headers={"Authorization": "Bearer"}),
    Client(
        "SillyTavern for TTS WebUI",
        {**TTS_WEBUI, "stream": False},
        kind="wav",
        headers={"Origin": SILLYTAVERN},
        ignored=["params"],
    ),
    Client(
        "SillyTavern for TTS WebUI, as a stream",
        {**TTS_WEBUI, "stream": True},
        kind="wav",
        headers={"Origin": SILLYTAVERN},
        ignored=["params"],
    ),
    Client(
        "Home Assistant",
        mp3(model="gpt-4o-mini-tts", voice="marin", instructions="", speed=1.0),
    ),
    Client(
        "Home Assistant without instructions",
        mp3(model="gpt-4o-mini-tts", voice="marin", instructions="None", speed=1.0),
    ),
    Client(
        "openai_tts for Home Assistant",
        mp3(model="tts-1", voice="shimmer", speed=1.0, instructions="calm", chunk_length=200),
        ignored=["chunk_length"],
    ),
    Client(
        "wyoming_openai",
        {"model": "tts-1", "voice": "Serena", "response_format": "wav", "speed": 1.0},
        kind="wav",
    ),
    Client("LibreChat", {**TTS1, "backend": "xtts"}, ignored=["backend"]),
    Client("AnythingLLM", TTS1),
    Client("AnythingLLM for Kokoro", {"model": "kokoro", "voice": "af_bella"}),
    Client("LobeChat", TTS1, headers={"Accept": "*/*"}),
    Client(
        "Aloud", mp3(model="tts-1", voice="", speed=1), headers={"Origin": OBSIDIAN}
    ),
    Client("Read Aloud", mp3(**TTS1), headers={"Origin": READ_ALOUD}),
    Client("epub_to_audiobook", mp3(**TTS1, speed=1.0, instructions=None)),
    Client("n8n", mp3(**TTS1, speed=1)),
    Client(
        "LiveKit",
        mp3(model="gpt-4o-mini-tts", voice="ash", speed=1.0, stream_format="sse"),
        kind="sse",
    ),
    Client(
        "Pipecat",
        {"model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "pcm"},
        kind="pcm",
    ),
    Client("Dify, any server", mp3(model="my-tts", voice="alloy", instruction=None),
           ignored=["model"]),
    Client("Dify", mp3(**TTS1)),
    Client("the openai packages", dict.fromkeys(
        ("instructions", "response_format", "speed", "stream_format", "model", "voice"))),
    Client("LiteLLM", mp3(**TTS1, speed=1.0, instructions="")),
    Client(
        "Subtitle Edit",
        {"voice": "Ryan", "response_format": "wav", "instructions": "warmly", "language": "EN"},
        kind="wav",
    ),
    Client("a client that guesses the language", {**TTS1, "language": "tlh", "speaker": "Ryan"},
           ignored=["language"]),
]  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_is_answered_as_it_expects(http, client):
    answer = http.post(SPEECH, json={"input": LINE, **client.body}, headers=client.headers)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.headers.get("Speech-Ignored", "[]")) == client.ignored
    origin = client.headers.get("Origin")
    assert answer.headers.get("Access-Control-Allow-Origin") == origin
    if client.kind == "sse":
        assert _joined(answer.text).heard > 1
        return
    # Parameters are split off by all who look at it.
    assert answer.headers["Content-Type"].split(";")[0] == TYPES[client.kind].split(";")[0]
    assert decoded(answer.content, client.kind).heard > 1
    if client.kind == "wav":
        assert answer.content[36:40] == b"data"  # some cut 44 bytes off


def _joined(text):
    """Join the sound of events as LiveKit does: by their data alone."""
    events = [line.removeprefix("data: ") for line in text.splitlines() if line[:6] == "data: "]
    told = [json.loads(event) for event in events if event != "[DONE]"]
    return decoded(b"".join(base64.b64decode(one.get("audio", "")) for one in told), "mp3")


@pytest.mark.parametrize("name", OPENAI_VOICES)
def test_openais_voices_speak_in_any_case_and_on_each_route(http, name):
    for path, body in (
        (SPEECH, {"input": "Hi.", "voice": name.title()}),
        (SPEECH, {"input": "Hi.", "voice": {"id": name}}),
        (GENERATE, {"text": "Hi.", "speaker": name.upper()}),
    ):
        answer = http.post(path, json=body)
        assert answer.status_code == 200, answer.text


def test_voices_are_listed_as_each_client_reads_them(http):
    listed = http.get("/v1/audio/voices").json()
    names = [voice["id"] for voice in listed["voices"]]
    assert {"Ryan", "Serena"} <= set(names)
    of_a_model = http.get("/v1/audio/voices/chatterbox").json()["voices"]
    for voice in (*listed["voices"], *of_a_model):
        assert set(voice) == {"id", "name", "value", "label"}
        assert len(set(voice.values())) == 1
    assert http.get("/v1/audio/voices?legacy=true").json()["voices"] == names
    assert [voice["id"] for voice in listed["data"]] == names
    assert http.get("/v1/audio/models").json() == {"models": [{"id": "qwen3-tts"}, {"id": "draft"}]}
    for model in ("qwen3-tts", "tts-1-hd", "kokoro", "Qwen3-TTS-12Hz-1.7B-Base"):
        assert http.get(f"/v1/models/{model}").json()["id"] == model


def test_wyoming_openai_takes_us_for_a_server_that_lists_its_voices(http):
    assert http.get("/v1/readyz").status_code == 404  # LocalAI
    assert http.get("/health").text != "OK"  # Speaches
    assert http.get("/v1/test").json() == {"status": "ok"}


@pytest.mark.parametrize("origin", [SILLYTAVERN, OBSIDIAN, READ_ALOUD, FIREFOX])
def test_a_browser_that_asks_first_may_send_what_openais_package_sends(http, origin):
    asked = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"
    answer = http.options(
        SPEECH,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": asked,
        },
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Access-Control-Allow-Headers"] == asked


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", f"{OBSIDIAN}.evil.example", "chrome-extension:", "x-extension://a"],
)
def test_an_origin_that_is_refused_is_named_to_the_operator_once(http, origin):
    with logged() as lines:
        for _ in range(2):
            answer = http.post(SPEECH, json={"input": LINE}, headers={"Origin": origin})
            assert answer.status_code == 403
    assert f"add '{origin}' to tts.qwen.server.allowed_origins" in answer.json()["hint"]
    assert len([line for line in lines if "origin.refused" in line and origin in line]) == 1


LARGE = b'{"input": "' + b"a" * 2**26
ERRORS = [
    ("POST", "/audio/speech", {"json": {"input": LINE}}, 404),  # a base without /v1
    ("GET", "/v1/nothing", {}, 404),
    ("GET", SPEECH, {}, 405),
    ("POST", SPEECH, {"json": {"input": LINE}, "headers": {"Origin": "https://evil.example"}}, 403),
    ("POST", SPEECH, {"content": LARGE}, 413),
    ("POST", SPEECH, {"json": {"input": LINE, "voice": "Emily"}}, 400),
    ("POST", SPEECH, {"json": {"input": LINE, "speed": 9}}, 400),
    ("POST", SPEECH, {"json": {"input": LINE, "model": "direct"}}, 404),
    ("POST", SPEECH, {"json": {}}, 400),
    ("POST", SPEECH, {"content": b"{"}, 400),
    ("GET", "/health", {"headers": {"Host": "evil.example"}}, 400),
]


@pytest.mark.parametrize(("method", "path", "how", "status"), ERRORS)
def test_each_error_is_one_that_openais_clients_read(http, method, path, how, status):
    answer = http.request(method, path, **how)
    assert answer.status_code == status
    said = answer.json()
    assert set(said["error"]) == {"message", "type", "param", "code"}
    assert said["message"] == said["error"]["message"]
    assert said["error"]["type"] == "invalid_request_error"
    assert said["status"] == status
    assert answer.headers["X-Should-Retry"] == "false"


def test_a_trailing_slash_is_no_reason_to_send_a_line_elsewhere(http):
    answer = http.post(f"{SPEECH}/", json={"input": LINE, **TTS1})
    assert answer.status_code == 200
    assert decoded(answer.content, "mp3").heard > 1


def test_what_is_ignored_is_named_in_the_log_unless_it_may_be_a_line(http):
    with logged() as lines:
        answer = http.post(SPEECH, json={"input": LINE, "user": "mia", "Wombats whisper": 1})
    assert json.loads(answer.headers["Speech-Ignored"]) == ["user", "Wombats whisper"]
    (said,) = (line for line in lines if "request.fields_ignored" in line)
    assert "user" in said
    assert not any("Wombats" in line or "mia" in line for line in lines)


async def test_several_requests_of_one_client_at_once_wait_for_their_turn(url):
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        asked = [client.post(SPEECH, json={"input": "Hi.", **TTS1}) for _ in range(12)]
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
