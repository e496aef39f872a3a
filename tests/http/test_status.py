"""How the service is: for people, for load balancers, for Prometheus."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from storycore_tts import StoredVoice
from storycore_tts.__about__ import __version__
from storycore_tts.services.voices import VoiceLibrary

from .serving import config, serving

LINE = {"text": "Once upon a time.", "speaker": "Ryan"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="module")
def http(folder):
    with serving(config(folder)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def test_it_lives_and_is_ready(http):
    assert http.get("/health").json() == {"status": "ok"}
    ready = http.get("/ready")
    assert ready.status_code == 200
    assert ready.json() == {"ready": True, "backends": {"draft": True}}


def test_its_status_names_backends_and_jobs(http):
    status = http.get("/ai/tts/qwen/status").json()
    assert (status["version"], status["usual"]) == (__version__, "draft")
    assert status["authentication"] is False
    assert status["jobs"] == {"queued": 0, "running": 0}
    (draft,) = status["backends"]
    assert (draft["name"], draft["reachable"], draft["problems"]) == ("draft", True, [])
    assert draft["capabilities"]["speech"] is True
    assert draft["capabilities"]["cloning"] is False
    assert (draft["concurrency"], draft["waiting"]) == (4, 0)


def test_its_metrics_count_what_was_spoken(http):
    def spoken():
        text = http.get("/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "storycore_tts_requests_total" and sample.labels["outcome"] == "ok"
        )

    before = spoken()
    assert http.post("/ai/tts/qwen/generate", json=LINE).status_code == 200
    assert spoken() == before + 1


def test_its_voices_are_the_backends_and_stored_ones(http, folder):
    library = VoiceLibrary(folder / "voices")
    library.add(StoredVoice("Hero", checkpoint="/voices/hero", language="German"))
    found = http.get("/ai/tts/qwen/speakers").json()
    assert (found["backend"], found["default"]) == ("draft", "Ryan")
    assert {"name": "Hero", "kind": "checkpoint", "description": "", "language": "German"} in (
        found["speakers"]
    )
    assert {"Ryan", "Serena"} <= {one["name"] for one in found["speakers"]}
    other = http.get("/ai/tts/qwen/speakers", params={"backend": "piper"})
    assert other.status_code == 422


def test_a_path_that_is_not_there_is_a_problem_too(http):
    answer = http.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert http.get("/ai/tts/qwen/generate").status_code == 405
