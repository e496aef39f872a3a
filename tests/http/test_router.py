"""The service inside another app, below a prefix."""

import json
import re
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from storycore_tts.entrypoints.http import create_router

from .serving import ASYNC, GENERATE, JOBS, config, listening
from .sounds import decoded

LINE = {"text": "Once upon a time.", "speaker": "Ryan"}
PREFIX = "/api/video-editor"


@pytest.fixture(scope="module")
def heard():
    return []


@pytest.fixture(scope="module")
def url(folder, heard):
    @asynccontextmanager
    async def lifespan(app):
        heard.append("begun")
        yield {"editor": "ours"}
        heard.append("ended")

    app = FastAPI(lifespan=lifespan)
    app.include_router(create_router(config(folder)), prefix=PREFIX)
    with listening(app) as url:
        yield url
    assert heard == ["begun", "ended"]


def test_it_speaks_below_the_prefix(http, heard):
    answer = http.post(PREFIX + GENERATE, json=LINE)
    assert answer.status_code == 200, answer.text
    assert decoded(answer.content, "wav").heard > 0.3
    assert heard == ["begun"]
    for path in ("/health", "/v1/models"):
        assert http.get(PREFIX + path).status_code == 200


def test_links_lead_below_the_prefix(http):
    answer = http.post(PREFIX + GENERATE, json=LINE, headers=ASYNC)
    job = answer.json()
    here = f"{PREFIX}{JOBS}/{job['id']}"
    assert answer.headers["location"] == job["links"]["self"] == here
    with http.stream("GET", job["links"]["events"]) as events:
        assert here in events.read().decode()
    (listed,) = http.get(PREFIX + JOBS).json()["jobs"]
    assert listed["links"]["audio"] == f"{here}/audio"
    assert decoded(http.get(listed["links"]["audio"]).content, "wav").heard > 0.3


def test_errors_are_problem_documents_there_too(http):
    answer = http.post(PREFIX + GENERATE, json={"text": ""})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    lost = http.get(f"{PREFIX}{JOBS}/none")
    assert (lost.status_code, lost.json()["status"]) == (404, 404)
    kind = {"Content-Type": "application/json"}
    broken = http.post(f"{PREFIX}/v1/audio/speech", content="{", headers=kind)
    assert broken.status_code == 400
    assert broken.json()["error"]["type"] == "invalid_request_error"


def test_its_document_is_whole(http):
    document = http.get("/openapi.json").json()
    assert PREFIX + GENERATE in document["paths"]
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert referred
    assert referred <= set(document["components"]["schemas"])
