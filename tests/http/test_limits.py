"""What the service does when there is too much to do, or no backend to do it."""

import threading

import httpx
import openai
import pytest

from storycore_tts.testing.comfyui import NodeError, StandInComfyUI

from .serving import config, serving
from .sounds import decoded

GENERATE, JOBS = "/ai/tts/qwen/generate", "/ai/tts/qwen/jobs"
ASYNC = {"Prefer": "respond-async"}
LINE = {"text": "Once upon a time.", "speaker": "Ryan"}
SPEECH = {"model": "qwen3-tts", "voice": "Ryan", "input": "Once upon a time."}
AWAY = "http://127.0.0.1:1"


def settings(folder, address, *, fallback="none", **server):
    return config(
        folder,
        backend="comfyui",
        comfyui_url=address,
        fallback=fallback,
        retry={"attempts": 1},
        comfyui={"timeouts": {"connect": 1.0, "away": 1.0}},
        server={"requests_per_minute": None, **server},
    )


def client_of(url, **more):
    return openai.OpenAI(base_url=f"{url}/v1", **{"api_key": "none", "max_retries": 0, **more})


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI(modern=True, instant=True) as server:
        yield server


@pytest.fixture(scope="class")  # there can be one service at a time
def busy(comfyui, tmp_path_factory):
    """A service that does one thing at a time; little may wait."""
    few = {"concurrency": {"comfyui": 1}, "max_waiting": 1, "max_queued": 2}
    with serving(settings(tmp_path_factory.mktemp("busy"), comfyui.url, **few)) as url:
        yield url


@pytest.fixture(scope="class")
def away(tmp_path_factory):
    """A service whose backend is down."""
    with serving(settings(tmp_path_factory.mktemp("away"), AWAY)) as url:
        yield url


class Asking:
    """Threads that each ask for a line."""

    def __init__(self):
        self.answers = []
        self._threads = []

    def __call__(self, ask):
        thread = threading.Thread(target=lambda: self.answers.append(ask()))
        self._threads.append(thread)
        thread.start()

    def all(self):
        for thread in self._threads:
            thread.join()
        return self.answers


def wait_for_waiting(http, number):
    while http.get("/ai/tts/qwen/status").json()["backends"][0]["waiting"] < number:
        pass


class TestBusy:
    def test_too_many_who_wait_are_told_to_come_back(self, comfyui, busy):
        asking = Asking()
        with (
            httpx.Client(base_url=busy, timeout=60) as http,
            client_of(busy) as impatient,
            client_of(busy, max_retries=9) as patient,
        ):
            gate = comfyui.faults.hold("running")
            asking(lambda: http.post(GENERATE, json=LINE).status_code)
            assert gate.reached.wait(30)
            asking(lambda: http.post(GENERATE, json=LINE).status_code)
            wait_for_waiting(http, 1)
            refused = http.post(GENERATE, json=LINE)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "2"
            assert refused.json()["retryable"] is True
            with pytest.raises(openai.InternalServerError, match="wait for comfyui") as told:
                impatient.audio.speech.create(**SPEECH)
            assert told.value.response.headers["retry-after"] == "2"
            # OpenAI's own client waits for as long as it is told to, and asks again.
            asking(lambda: len(patient.audio.speech.create(**SPEECH).read()) > 1000)

            # A job may wait as long as it needs, as long as there is room in the queue.
            accepted = []
            while (answer := http.post(GENERATE, json=LINE, headers=ASYNC)).status_code == 202:
                accepted.append(answer)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert len(accepted) in (2, 3)  # one may have been taken from the queue already
            gate.release()
            assert sorted(asking.all()) == [True, 200, 200]
            for answer in accepted:
                self.ended_well(http, answer)
            self.ended_well(http, http.post(GENERATE, json=LINE, headers=ASYNC))

    def ended_well(self, http, answer):
        with http.stream("GET", answer.json()["links"]["events"]) as events:
            events.read()
        assert http.get(answer.headers["location"]).json()["state"] == "succeeded"

    def test_what_fails_for_good_is_not_asked_for_again(self, comfyui, busy):
        comfyui.faults.add(NodeError(message="a wire is loose", times=None))
        before = len(comfyui.log.submitted)
        with (
            client_of(busy, max_retries=2) as client,
            pytest.raises(openai.InternalServerError, match="a wire is loose") as failed,
        ):
            client.audio.speech.create(**SPEECH)
        comfyui.faults.clear()
        assert failed.value.status_code == 502
        assert len(comfyui.log.submitted) == before + 1


class TestAway:
    @pytest.mark.parametrize("key", [None, "a key"])
    def test_a_backend_that_is_away_is_said_to_be(self, away, key):
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = httpx.post(f"{away}{GENERATE}", json=LINE, headers=headers, timeout=60)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        problem = answer.json()
        assert AWAY in problem["detail"]
        assert (problem["backend"], problem["retryable"]) == ("comfyui", True)
        assert key is None or "take another one" in problem["hint"]

        assert httpx.get(f"{away}/health").status_code == 200
        assert httpx.get(f"{away}/ready").status_code == 503
        (backend,) = httpx.get(f"{away}/ai/tts/qwen/status").json()["backends"]
        assert backend["reachable"] is False
        assert backend["problems"]

    def test_openais_client_knows_that_it_may_ask_again(self, away):
        with client_of(away) as client:
            with pytest.raises(openai.InternalServerError, match="ComfyUI") as refused:
                client.audio.speech.create(**SPEECH)
            assert refused.value.status_code == 503
            assert refused.value.type == "server_error"
            assert refused.value.response.headers["x-should-retry"] == "true"
            with (
                pytest.raises(openai.InternalServerError),
                client.audio.speech.with_streaming_response.create(**SPEECH, stream_format="audio"),
            ):
                pass


def test_another_backend_speaks_while_one_is_away(tmp_path):
    with serving(settings(tmp_path, AWAY, fallback="draft")) as url:
        answer = httpx.post(f"{url}{GENERATE}", json=LINE, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["speech-backend"] == "draft"
        assert "comfyui" in answer.headers["speech-warnings"].lower()
        assert decoded(answer.content, "wav").heard > 0.3
