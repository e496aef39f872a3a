"""``tts.qwen.backend`` in the service's file, changed while it serves."""

import pytest
import yaml
from dependency_injector import providers
from fastapi import FastAPI

from storycore_tts.container import Container
from storycore_tts.entrypoints.http import create_router

from .serving import ASYNC, GENERATE, config, ended, listening

LINE = {"text": "Once upon a time.", "speaker": "Ryan"}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def clock():
    clock = Clock()
    with Container.clock.override(providers.Object(clock)):
        yield clock


@pytest.fixture(scope="module")
def write(folder, comfyui, clock):
    """Writes the service's file, and lets a second pass."""

    def write(backend, **server):
        usual = config(folder, backend=backend, comfyui_url=comfyui.url, server=server)
        document = usual.model_dump(exclude_defaults=True)
        (folder / "tts.yaml").write_text(yaml.safe_dump({"tts": {"qwen": document}}))
        clock.now += 1.0
        return folder / "tts.yaml"

    return write


@pytest.fixture(scope="module")
def url(write):
    app = FastAPI()
    app.include_router(create_router(write("draft")))
    with listening(app) as url:
        yield url


def spoken_by(http, **line):
    answer = http.post(GENERATE, json={**LINE, **line})
    assert answer.status_code == 200, answer.text
    return answer.headers["speech-backend"]


def test_the_usual_backend_is_the_one_that_the_file_names_now(http, write):
    assert spoken_by(http) == "draft"
    write("comfyui")
    assert spoken_by(http) == "comfyui"
    assert http.get("/ai/tts/qwen/status").json()["usual"] == "comfyui"
    assert http.get("/ai/tts/qwen/speakers").json()["backend"] == "comfyui"
    assert spoken_by(http, backend="draft") == "draft"  # it was offered, and stays
    job = ended(http, http.post(GENERATE, json=LINE, headers=ASYNC).json())
    assert (job["state"], job["result"]["backend"]) == ("succeeded", "comfyui")
    write("draft")
    assert spoken_by(http) == "draft"
    assert "storycore_tts_reloads_total 2.0" in http.get("/metrics").text


def test_the_block_server_is_read_at_the_start_only(http, write):
    """Or who may ask would change while nobody looks."""
    write("comfyui", api_keys={"mia": "0" * 64}, backends=["direct"])
    assert spoken_by(http) == "comfyui"
    assert http.post(GENERATE, json={**LINE, "backend": "direct"}).status_code == 422
    write("draft")
