"""The service inside another app, below a prefix."""

from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from storycore_tts.entrypoints.http import create_router

from .serving import config, listening
from .sounds import decoded

LINE = {"text": "Once upon a time.", "speaker": "Ryan"}
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def heard():
    return []


@pytest.fixture(scope="module")
def http(tmp_path_factory, heard):
    @asynccontextmanager
    async def lifespan(app):
        heard.append("begun")
        yield {"editor": "ours"}
        heard.append("ended")

    app = FastAPI(lifespan=lifespan)
    router = create_router(config(tmp_path_factory.mktemp("there")))
    app.include_router(router, prefix="/api/video-editor")
    with listening(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client
    assert heard == ["begun", "ended"]


def test_it_speaks_below_the_prefix(http, heard):
    answer = http.post("/api/video-editor/ai/tts/qwen/generate", json=LINE)
    assert answer.status_code == 200, answer.text
    assert decoded(answer.content, "wav").heard > 0.3
    assert heard == ["begun"]
    assert http.get("/api/video-editor/health").status_code == 200
    assert http.get("/api/video-editor/v1/models").status_code == 200


def test_links_lead_below_the_prefix(http):
    answer = http.post("/api/video-editor/ai/tts/qwen/generate", json=LINE, headers=ASYNC)
    job = answer.json()
    here = f"/api/video-editor/ai/tts/qwen/jobs/{job['id']}"
    assert answer.headers["location"] == job["links"]["self"] == here
    with http.stream("GET", job["links"]["events"]) as events:
        assert here in events.read().decode()
    (listed,) = http.get("/api/video-editor/ai/tts/qwen/jobs").json()["jobs"]
    assert listed["links"]["audio"] == f"{here}/audio"
    assert decoded(http.get(listed["links"]["audio"]).content, "wav").heard > 0.3


def test_errors_are_problem_documents_there_too(http):
    answer = http.post("/api/video-editor/ai/tts/qwen/generate", json={"text": ""})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    lost = http.get("/api/video-editor/ai/tts/qwen/jobs/none")
    assert (lost.status_code, lost.json()["status"]) == (404, 404)
    kind = {"Content-Type": "application/json"}
    broken = http.post("/api/video-editor/v1/audio/speech", content="{", headers=kind)
    assert broken.status_code == 400
    assert broken.json()["error"]["type"] == "invalid_request_error"


def test_its_document_is_whole(http):
    document = http.get("/openapi.json").json()
    assert "/api/video-editor/ai/tts/qwen/generate" in document["paths"]
    assert dangling(document) == set()


def dangling(document):
    """The references of a document that lead nowhere."""
    found, places = set(), [document]
    while places:
        place = places.pop()
        if isinstance(place, dict):
            if isinstance(place.get("$ref"), str):
                found.add(place["$ref"])
            places += place.values()
        elif isinstance(place, list):
            places += place
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    return found - known
