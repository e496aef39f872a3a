"""The twin of the engine's ``/ai/tts``, before the engine's own router in one app."""

from __future__ import annotations

import httpx
import pytest

from storycore_tts import QwenTTSConfig, create_editor_router
from storycore_tts.testing.comfyui.log import Submitted

fastapi = pytest.importorskip("fastapi")
PATH = "/api/video-editor/ai/tts"
LINE = "Bonjour, ceci est un test."


def app_with(config):
    """An app like the engine's, which has a route of the same path, and others."""
    app = fastapi.FastAPI()
    theirs = fastapi.APIRouter(prefix="/api/video-editor")

    @theirs.post("/ai/tts")
    async def placeholder():
        raise AssertionError("the placeholder was asked")

    @theirs.get("/projects")
    async def projects():
        return ["theirs"]

    app.include_router(create_editor_router(config))
    app.include_router(theirs)
    return app


@pytest.fixture
async def client_of(tmp_path):
    """Returns a client of an app with these settings; its lifespan runs until the test ends."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:

        async def client(**settings):
            usual = {
                "backend": "draft",
                "fallback": "none",
                "output_dir": str(tmp_path / "audio"),
                "voices_dir": str(tmp_path / "voices"),
                "server": {"state_dir": str(tmp_path / "state")},
            }
            app = app_with(QwenTTSConfig(**{**usual, **settings}))
            state = await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app=Stated(app, state))
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://engine")
            )

        yield client


class Stated:
    """An app whose requests find the lifespan's state, as under a real server."""

    def __init__(self, app, state):
        self.app, self.state = app, state

    async def __call__(self, scope, receive, send):
        await self.app({**scope, "state": dict(self.state or {})}, receive, send)


def test_its_refusals_are_documented_as_the_problems_that_they_are():
    app = fastapi.FastAPI()
    app.include_router(create_editor_router(QwenTTSConfig(backend="draft")))
    post = app.openapi()["paths"][PATH]["post"]
    refusals = {status: answer for status, answer in post["responses"].items() if status >= "400"}
    assert "422" in refusals
    for answer in refusals.values():
        assert list(answer["content"]) == ["application/problem+json"]


async def test_it_answers_as_the_engine_does_and_the_file_holds_speech(client_of, heard, tmp_path):
    client = await client_of()
    answer = (await client.post(PATH, json={"text": LINE})).json()
    assert set(answer) == {"job_id", "status", "audio_path"}
    assert answer["status"] == "completed"
    assert answer["audio_path"].startswith(str(tmp_path / "audio"))
    heard(answer["audio_path"])
    faster = {"text": LINE, "voice": "Ryan", "speed": 2.0, "pitch": 1.5}
    shorter = (await client.post(PATH, json=faster)).json()
    plain = (await client.post(PATH, json={"text": LINE, "voice": "Ryan"})).json()
    lengths = [len(heard(one["audio_path"])[0]) for one in (shorter, plain)]
    assert lengths[0] == pytest.approx(lengths[1] / 2, rel=0.02)


async def test_old_voice_ids_reach_comfyui(client_of, standin_comfyui_factory):
    server = standin_comfyui_factory(instant=True)
    client = await client_of(backend="comfyui", comfyui_url=server.url)
    assert (await client.post(PATH, json={"text": LINE})).status_code == 200
    graph = server.log.of(Submitted)[-1].graph
    assert any(node["inputs"].get("speaker") == "Serena" for node in graph.values())


async def test_refusals_are_problem_documents_and_the_other_routes_are_there_too(client_of):
    client = await client_of()
    for wrong in (
        {},
        {"text": ""},
        {"text": LINE, "voice": "ar-EG-Salma"},
        {"text": LINE, "speed": 9},
        {"text": LINE, "pitch": 0},
    ):
        answer = await client.post(PATH, json=wrong)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/api/video-editor/projects")).json() == ["theirs"]
    speakers = await client.get("/api/video-editor/ai/tts/qwen/speakers")
    assert speakers.status_code == 200


async def test_keys_are_asked_for_where_there_are_some(client_of, tmp_path):
    server = {"state_dir": str(tmp_path / "state"), "api_keys": {"mia": "0" * 64}}
    client = await client_of(server=server)
    assert (await client.post(PATH, json={"text": LINE})).status_code == 401
