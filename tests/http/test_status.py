"""How the service is: for people, for load balancers, for Prometheus."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from storycore_tts import StoredVoice
from storycore_tts.__about__ import __version__
from storycore_tts.services.voices import VoiceLibrary

from .serving import GENERATE, config, serving

LINE = {"text": "Once upon a time.", "speaker": "Ryan"}


@pytest.fixture(scope="module")
def url(folder):
    with serving(config(folder)) as url:
        yield url


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
        families = text_string_to_metric_families(http.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples]
        ours = [one for one in samples if one.name == "storycore_tts_requests_total"]
        return sum(one.value for one in ours if one.labels["outcome"] == "ok")

    before = spoken()
    assert http.post(GENERATE, json=LINE).status_code == 200
    assert spoken() == before + 1


def test_its_voices_are_the_backends_and_stored_ones(http, folder):
    library = VoiceLibrary(folder / "voices")
    library.add(StoredVoice("Hero", checkpoint="/voices/hero", language="German"))
    found = http.get("/ai/tts/qwen/speakers").json()
    assert (found["backend"], found["default"]) == ("draft", "Ryan")
    hero = {"name": "Hero", "kind": "checkpoint", "description": "", "language": "German"}
    assert hero in found["speakers"]
    assert {"Ryan", "Serena"} <= {one["name"] for one in found["speakers"]}
    other = http.get("/ai/tts/qwen/speakers", params={"backend": "piper"})
    assert other.status_code == 422
