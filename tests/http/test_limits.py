"""What the service does when there is too much to do, or nobody to do it."""

import threading

import httpx
import pytest

from storycore_tts.testing.comfyui import StandInComfyUI

from .serving import config, serving
from .sounds import decoded

GENERATE, JOBS = "/ai/tts/qwen/generate", "/ai/tts/qwen/jobs"
ASYNC = {"Prefer": "respond-async"}
LINE = {"text": "Once upon a time.", "speaker": "Ryan"}
NOBODY = "http://127.0.0.1:1"
SWIFT = {"retry": {"attempts": 1}, "comfyui": {"timeouts": {"connect": 1.0, "away": 1.0}}}


def settings(address, *, fallback="none", **server):
    return {
        "backend": "comfyui",
        "comfyui_url": address,
        "fallback": fallback,
        **SWIFT,
        "server": server,
    }


@pytest.fixture
def comfyui():
    with StandInComfyUI(modern=True, instant=True) as server:
        yield server


def test_too_many_who_wait_are_told_to_come_back(comfyui, tmp_path):
    few = settings(comfyui.url, concurrency={"comfyui": 1}, max_waiting=1)
    with serving(config(tmp_path, **few)) as url, httpx.Client(base_url=url, timeout=60) as http:
        gate = comfyui.faults.hold("running")
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(http.post(GENERATE, json=LINE)))
            for _ in range(2)
        ]
        threads[0].start()
        assert gate.reached.wait(10)
        threads[1].start()
        while http.get("/ai/tts/qwen/status").json()["backends"][0]["waiting"] < 1:
            pass
        refused = http.post(GENERATE, json=LINE)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "2"
        assert refused.json()["retryable"] is True
        # A job may wait as long as it needs.
        accepted = http.post(GENERATE, json=LINE, headers=ASYNC)
        assert accepted.status_code == 202
        gate.release()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        with http.stream("GET", accepted.json()["links"]["events"]) as events:
            events.read()
        assert http.get(accepted.headers["location"]).json()["state"] == "succeeded"


def test_a_full_queue_takes_no_more(comfyui, tmp_path):
    few = settings(comfyui.url, concurrency={"comfyui": 1}, max_queued=2)
    with serving(config(tmp_path, **few)) as url, httpx.Client(base_url=url, timeout=60) as http:
        gate = comfyui.faults.hold("running")
        jobs = [http.post(GENERATE, json=LINE, headers=ASYNC).json()]
        assert gate.reached.wait(10)
        jobs += [http.post(GENERATE, json=LINE, headers=ASYNC).json() for _ in range(2)]
        refused = http.post(GENERATE, json=LINE, headers=ASYNC)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert len(http.get(JOBS).json()["jobs"]) == 3
        gate.release()
        for job in jobs:
            with http.stream("GET", job["links"]["events"]) as events:
                events.read()
        assert http.post(GENERATE, json=LINE, headers=ASYNC).status_code == 202


@pytest.mark.parametrize("key", [None, "a key"])
def test_a_backend_that_is_away_is_said_to_be(tmp_path, key):
    with serving(config(tmp_path, **settings(NOBODY))) as url:
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = httpx.post(f"{url}{GENERATE}", json=LINE, headers=headers, timeout=60)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        problem = answer.json()
        assert NOBODY in problem["detail"]
        assert (problem["backend"], problem["retryable"]) == ("comfyui", True)
        assert key is None or "take another one" in problem["hint"]

        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/ready").status_code == 503
        (backend,) = httpx.get(f"{url}/ai/tts/qwen/status").json()["backends"]
        assert backend["reachable"] is False
        assert backend["problems"]


def test_another_backend_speaks_while_one_is_away(tmp_path):
    with serving(config(tmp_path, **settings(NOBODY, fallback="draft"))) as url:
        answer = httpx.post(f"{url}{GENERATE}", json=LINE, timeout=60)
        assert answer.status_code == 200
        assert answer.headers["speech-backend"] == "draft"
        assert "comfyui" in answer.headers["speech-warnings"].lower()
        assert decoded(answer.content, "wav").heard > 0.3
