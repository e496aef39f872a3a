"""What the service does when there is too much to do, or no backend to do it."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from storycore_tts.settings import BreakerConfig
from storycore_tts.testing.comfyui import NodeError, StandInComfyUI

from .serving import ASYNC, GENERATE, ended, on_comfyui, serving
from .sounds import decoded

LINE = {"text": "Once upon a time.", "speaker": "Ryan"}
SPEECH = {"model": "qwen3-tts", "voice": "Ryan", "input": "Once upon a time."}
AWAY = "http://127.0.0.1:1"


def settings(folder, address, *, fallback="none", **server):
    soon = {"timeouts": {"connect": 1.0, "away": 1.0}}
    return on_comfyui(folder, address, fallback=fallback, comfyui=soon, server=server)


def client_of(url, **more):
    return openai.OpenAI(base_url=f"{url}/v1", **{"api_key": "none", "max_retries": 0, **more})


@pytest.fixture
def comfyui():
    with StandInComfyUI(modern=True, instant=True) as server:
        yield server


def test_too_many_who_wait_are_told_to_come_back(comfyui, tmp_path):
    few = {"concurrency": {"comfyui": 1}, "max_waiting": 1, "max_queued": 2}
    with (
        serving(settings(tmp_path, comfyui.url, **few)) as url,
        ThreadPoolExecutor(3) as threads,
        httpx.Client(base_url=url, timeout=60) as http,
        client_of(url) as impatient,
        client_of(url, max_retries=9) as patient,
    ):
        gate = comfyui.faults.hold("running")
        asked = [threads.submit(http.post, GENERATE, json=LINE)]
        assert gate.reached.wait(30)
        asked.append(threads.submit(http.post, GENERATE, json=LINE))
        while http.get("/ai/tts/qwen/status").json()["backends"][0]["waiting"] < 1:
            pass
        refused = http.post(GENERATE, json=LINE)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "2"
        assert refused.json()["retryable"] is True
        with pytest.raises(openai.InternalServerError, match="waiting for comfyui") as told:
            impatient.audio.speech.create(**SPEECH)
        assert told.value.response.headers["retry-after"] == "2"
        # OpenAI's own client waits for as long as it is told to, and asks again.
        waited = threads.submit(patient.audio.speech.create, **SPEECH)

        # A job may wait as long as it needs, as long as there is room in the queue.
        accepted = []
        while (answer := http.post(GENERATE, json=LINE, headers=ASYNC)).status_code == 202:
            accepted.append(answer)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert len(accepted) in (2, 3)  # one may have been taken from the queue already
        gate.release()
        assert [answer.result().status_code for answer in asked] == [200, 200]
        assert len(waited.result().read()) > 1000
        for answer in accepted:
            assert ended(http, answer.json())["state"] == "succeeded"
        again = http.post(GENERATE, json=LINE, headers=ASYNC)
        assert ended(http, again.json())["state"] == "succeeded"

        # What fails for good is not asked for again.
        comfyui.faults.add(NodeError(message="a wire is loose", times=None))
        before = len(comfyui.log.submitted)
        with pytest.raises(openai.InternalServerError, match="a wire is loose") as failed:
            patient.audio.speech.create(**SPEECH)
        assert failed.value.status_code == 502
        assert len(comfyui.log.submitted) == before + 1


def test_a_backend_that_is_away_is_said_to_be(tmp_path):
    with (
        serving(settings(tmp_path, AWAY)) as url,
        httpx.Client(base_url=url, timeout=60) as http,
        client_of(url) as client,
    ):
        for headers in ({}, {"Idempotency-Key": "a key"}):
            answer = http.post(GENERATE, json=LINE, headers=headers)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            problem = answer.json()
            assert AWAY in problem["detail"]
            assert (problem["backend"], problem["retryable"]) == ("comfyui", True)
        assert "use a new key" in problem["hint"]

        assert http.get("/health").status_code == 200
        assert http.get("/ready").status_code == 503
        (backend,) = http.get("/ai/tts/qwen/status").json()["backends"]
        assert backend["reachable"] is False
        assert backend["problems"]

        for how in ({}, {"stream_format": "audio"}):
            with (
                pytest.raises(openai.InternalServerError, match="ComfyUI") as refused,
                client.audio.speech.with_streaming_response.create(**SPEECH, **how),
            ):
                pass
            assert (refused.value.status_code, refused.value.type) == (503, "server_error")
            assert refused.value.response.headers["x-should-retry"] == "true"


def test_a_backend_that_counts_as_down_may_be_asked_again_later(tmp_path):
    at = settings(tmp_path, AWAY, fallback="draft", checkpoint_roots=[str(tmp_path)])
    down = at.model_copy(update={"breaker": BreakerConfig(failures=1, probe_seconds=600.0)})
    (tmp_path / "mia").mkdir()
    mine = {**LINE, "speaker": "Mia", "checkpoint": "mia"}  # draft has no checkpoints
    with serving(down) as url, httpx.Client(base_url=url, timeout=60) as http:
        http.post(GENERATE, json=mine)
        answer = http.post(GENERATE, json=mine)
    problem = answer.json()
    assert (answer.status_code, problem["retryable"]) == (503, True), problem
    assert "next probe in 600 s" in problem["detail"]
    told = (answer.headers["retry-after"], answer.headers["x-should-retry"])
    assert told == ("600", "true")


def test_another_backend_speaks_while_one_is_away(tmp_path):
    with serving(settings(tmp_path, AWAY, fallback="draft")) as url:
        answer = httpx.post(f"{url}{GENERATE}", json=LINE, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["speech-backend"] == "draft"
        assert "comfyui" in answer.headers["speech-warnings"].lower()
        assert decoded(answer.content, "wav").heard > 0.3
