"""The service inspects sound files, whoever made them."""

import numpy as np
import pytest

from storycore_tts.sound.files import encode

from .serving import GENERATE, config, serving
from .sounds import recording

INSPECT = "/ai/tts/qwen/inspect"


@pytest.fixture(scope="module")
def url(folder):
    with serving(config(folder, server={"max_upload_megabytes": 1.0})) as url:
        yield url


def inspected(http, data, name="a.wav"):
    return http.post(INSPECT, files={"file": (name, data, "audio/wav")})


def test_a_file_of_the_service_says_that_it_is_synthetic(http):
    pytest.importorskip("c2pa")
    made = http.post(GENERATE, json={"text": "Hello."}).content
    answer = inspected(http, made)
    assert answer.status_code == 200
    found = answer.json()
    assert found["verdict"] == "synthetic"
    assert found["signature"]["state"] == "intact"
    assert found["watermark"]["state"] in ("none", "not checked")

    middle = len(made) // 2
    broken = made[:middle] + bytes([made[middle] ^ 1]) + made[middle + 1 :]
    found = inspected(http, broken).json()
    assert (found["verdict"], found["signature"]["changed"]) == ("broken", True)
    assert found["sentence"].startswith("WARNING: this file was changed after it was signed by")


def test_another_file_says_nothing(http):
    answer = inspected(http, recording(1.0), name="灯台.wav")
    assert (answer.status_code, answer.json()["verdict"]) == (200, "nothing")


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (b"Dear Ann, I am a letter.", 415, "unsupported-recording"),
        (b"", 415, "unsupported-recording"),
        (encode(np.zeros(600_000, np.float32), 24_000, ".wav"), 413, "recording-too-large"),
    ],
)
def test_what_is_no_sound_file_or_too_large_is_a_problem(http, data, status, kind):
    answer = inspected(http, data)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert answer.json()["type"] == f"urn:storycore-tts:problem:{kind}"


def test_a_request_without_a_file_is_a_problem(http):
    assert http.post(INSPECT, data={"file": "a.wav"}).status_code == 422
    assert http.post(INSPECT, json={}).status_code == 422
