"""The service inside another app, below a prefix."""

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from storycore_tts.entrypoints.http import create_router

from .serving import config
from .sounds import decoded

LINE = {"text": "Once upon a time.", "speaker": "Ryan"}
ASYNC = {"Prefer": "respond-async"}


@contextmanager
def listening(app):
    """Serve somebody's app, with its lifespan, as uvicorn does."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started and thread.is_alive():
        pass
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


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


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "", "speaker": "Ryan"}, 422),
        ({"speaker": "Ryan"}, 422),
        ({"text": "x", "speaker": "Emily"}, 422),
    ],
)
def test_errors_are_problem_documents_there_too(http, body, status):
    answer = http.post("/api/video-editor/ai/tts/qwen/generate", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    lost = http.get("/api/video-editor/ai/tts/qwen/jobs/none")
    assert (lost.status_code, lost.json()["status"]) == (404, 404)
    broken = http.post(
        "/api/video-editor/v1/audio/speech",
        content="{",
        headers={"Content-Type": "application/json"},
    )
    assert (broken.status_code, broken.json()["error"]["type"]) == (
        400,
        "invalid_request_error",
    )


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
