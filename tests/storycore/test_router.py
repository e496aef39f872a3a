"""The twin of the engine's ``/ai/tts``, before the engine's own router in one app."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from storycore_tts.domain.consent import Consent
from storycore_tts.domain.keys import hashed
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.log import Submitted

pytest.importorskip("fastapi")
from .host import PREFIX, TOKEN, host

SPEAK = f"{PREFIX}/ai/tts"
GENERATE, CLONE, JOBS, SPEAKERS = (
    f"{SPEAK}/qwen/{name}" for name in ("generate", "clone", "jobs", "speakers")
)
LINE = "Bonjour, ceci est un test."
ASYNC = {"Prefer": "respond-async"}
MIA, TOM = "sctts_" + 43 * "m", "sctts_" + 43 * "t"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory, with what the host serves."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "output").mkdir()
    return tmp_path


@pytest.fixture
def own(settings, tmp_path):
    """Writes settings whose jobs are kept in the test's folder."""

    def write(**changed):
        server = {"state_dir": str(tmp_path / "state"), **changed.pop("server", {})}
        return settings(server=server, **changed)

    return write


@pytest.fixture
async def client_of():
    """Returns a client of a host's app, which runs until the test ends."""
    async with AsyncExitStack() as stack:

        async def client(app, *, headers=TOKEN):
            await stack.enter_async_context(app.router.lifespan_context(app))
            return await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://engine", headers=headers
                )
            )

        yield client


async def polled(client, job_id):
    """Ask as the engine's page does, until it is completed."""
    while True:
        result = (await client.get(f"{SPEAK}/{job_id}")).raise_for_status().json()
        if result["status"] == "completed":
            return result
        assert result["status"] != "failed", result


def sounding(heard, tmp_path, data):
    (tmp_path / "played.wav").write_bytes(data)
    return heard(tmp_path / "played.wav")


async def test_the_page_gets_a_url_that_plays_and_the_true_duration(client_of, own, heard, folder):
    client = await client_of(host(own(), output="output"))
    answer = (await client.post(SPEAK, json={"text": LINE})).json()
    assert await polled(client, answer["job_id"]) == answer
    played = await client.get(answer["audio_url"], headers={"Range": "bytes=0-99999999"})
    samples, rate = sounding(heard, folder, played.content)
    assert answer["duration"] == pytest.approx(len(samples) / rate, abs=1e-3)
    told = {name: answer[name] for name in ("status", "audio_path", "audio_url", "backend")}
    file = f"tts-{answer['job_id']}.wav"
    assert told == {
        "status": "completed",
        "audio_path": str(folder / "output" / "tts" / file),
        "audio_url": f"/output/tts/{file}",
        "backend": "draft",
    }
    assert answer["warnings"] == []


async def test_pace_and_pitch_are_as_asked_for(client_of, own, heard):
    client = await client_of(host(own(), output="output"))
    lengths = []
    for how in ({}, {"speed": 2.0, "pitch": 1.5}):
        answer = await client.post(SPEAK, json={"text": LINE, "voice": "Ryan", **how})
        lengths.append(len(heard(answer.json()["audio_path"])[0]))
    assert lengths[1] == pytest.approx(lengths[0] / 2, rel=0.02)


async def test_files_that_the_host_does_not_serve_have_a_url_of_ours(client_of, own, heard, folder):
    app = host(own(output_dir=str(folder / "elsewhere")), output="output")
    client = await client_of(app)
    answer = (await client.post(SPEAK, json={"text": LINE})).json()
    assert answer["audio_url"] == f"{SPEAK}/{answer['job_id']}/audio"
    played = await client.get(answer["audio_url"])
    assert played.headers["content-type"] == "audio/wav"
    sounding(heard, folder, played.content)
    assert (await client.get(answer["audio_url"], headers={"Authorization": ""})).status_code == 401


async def test_a_poll_is_answered_after_a_restart_and_without_a_store(client_of, own, folder):
    client = await client_of(host(own(), output="output"))
    answer = (await client.post(SPEAK, json={"text": LINE})).json()
    another = await client_of(host(own(), output="output"))
    assert await polled(another, answer["job_id"]) == answer
    assert not (folder / "state").exists()
    for unknown in ("00000000-0000-4000-8000-000000000000", "qwen", "..%2ftts"):
        lost = await another.get(f"{SPEAK}/{unknown}")
        assert lost.status_code == 404


async def test_old_voice_ids_reach_comfyui(client_of, own, standin_comfyui_factory):
    server = standin_comfyui_factory(instant=True)
    client = await client_of(host(own(backend="comfyui", comfyui_url=server.url)))
    assert (await client.post(SPEAK, json={"text": LINE})).status_code == 200
    graph = server.log.of(Submitted)[-1].graph
    assert any(node["inputs"].get("speaker") == "Serena" for node in graph.values())


async def test_the_one_who_really_spoke_is_named_and_the_reason(client_of, own):
    settings = own(backend="comfyui", fallback="draft", comfyui_url="http://127.0.0.1:1")
    client = await client_of(host(settings))
    answer = (await client.post(SPEAK, json={"text": LINE, "voice": "Ryan"})).json()
    assert answer["backend"] == "draft"
    assert any("comfyui was unavailable" in warning for warning in answer["warnings"])
    assert await polled(client, answer["job_id"]) == answer


async def test_who_speaks_for_a_character_that_is_not_cast_is_told(client_of, own):
    client = await client_of(host(own()))
    answer = (await client.post(SPEAK, json={"text": LINE, "voice": "char_001"})).json()
    assert any("char_001" in warning for warning in answer["warnings"])
    assert await polled(client, answer["job_id"]) == answer


async def test_a_preview_is_the_sound_itself(client_of, own, heard, folder):
    client = await client_of(host(own()))
    body = {"voiceId": "fr-FR-Denise", "text": LINE}
    answer = await client.post("/api/tts/preview", json=body)
    assert answer.headers["content-type"] == "audio/wav"
    sounding(heard, folder, answer.content)


def requests_of(app):
    """Every method and path that the app's document has, with something in place of parameters."""
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), re.sub(r"{.*?}", "00000000-0000-4000-8000-000000000000", path)


async def test_no_route_of_ours_is_in_the_way_of_the_hosts(client_of, own):
    app = host(own(), output="output")
    client = await client_of(app)
    for path in ("/health", "/metrics", "/ready", "/v1/models", "/projects/1"):
        assert (await client.get(PREFIX + path)).json() == "the host's"
    assert (await client.get("/health")).json() == "the host's"
    theirs = ("/health", "/metrics", "/ready", "/v1/models", "/projects/{name}")
    ours = {path for path in app.openapi()["paths"] if path not in (*map(PREFIX.__add__, theirs),)}
    assert ours - {"/health"} == {
        *(f"{SPEAK}{rest}" for rest in ("", "/{job_id}", "/{job_id}/audio")),
        *(f"{SPEAK}/qwen/{name}" for name in ("generate", "clone", "train", "speakers", "jobs")),
        *(f"{JOBS}/{{job_id}}{rest}" for rest in ("", "/events", "/audio")),
        "/api/tts/preview",
    }


async def test_who_has_no_token_of_the_host_is_let_in_nowhere(client_of, own, folder):
    app = host(own(server={"api_keys": {"mia": "0" * 64}}))
    client = await client_of(app, headers={})
    asked = [one for one in requests_of(app) if "/ai/tts" in one[1] or "/api/tts" in one[1]]
    assert len(asked) == 13
    for method, path in asked:
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["detail"]) == (401, "Not authenticated")
    assert (await client.get(SPEAKERS, headers=TOKEN)).status_code == 200
    assert not (folder / "state").exists()


async def test_without_a_dependency_our_own_keys_are_asked_for(client_of, own):
    app = host(own(server={"api_keys": {"mia": "0" * 64}}), dependencies=())
    client = await client_of(app, headers={})
    for method, path in (("POST", SPEAK), ("GET", SPEAKERS), ("GET", JOBS)):
        answer = await client.request(method, path, json={"text": LINE})
        assert (answer.status_code, answer.json()["detail"]) == (
            401,
            "This service requires an API key.",
        )


async def test_another_owners_stored_voice_is_used_by_neither_line_nor_preview(
    client_of, own, tmp_path
):
    keys = {"mia": hashed(MIA), "tom": hashed(TOM)}
    record = Consent("hers", owner="mia")
    reference = ReferenceAudio(np.full(24_000, 0.1, np.float32), 24_000)
    voice = StoredVoice("Mia", reference=reference, consent_record=record)
    VoiceLibrary(tmp_path / "voices").add(voice)
    with StandInComfyUI(modern=True) as server:
        told = {"backend": "comfyui", "comfyui_url": server.url}
        client = await client_of(host(own(server={"api_keys": keys}, **told), dependencies=()))
        asked = ((SPEAK, {"text": LINE, "voice": "Mia"}), ("/api/tts/preview", {"voiceId": "Mia"}))
        for key, status in ((MIA, 200), (TOM, 422)):
            for path, body in asked:
                headers = {"Authorization": f"Bearer {key}"}
                answer = await client.post(path, json=body, headers=headers)
                assert answer.status_code == status, (path, answer.text)


async def test_bad_settings_are_an_answer_until_they_are_mended(client_of, own):
    file = own()
    for wrong in ("tts: {qwen: {backend: nobody}}", "tts: [", "\0"):
        file.write_text(wrong)
        client = await client_of(host(file))
        assert (await client.get("/health")).json() == "the host's"
        for method, path in (("POST", SPEAK), ("GET", SPEAKERS), ("GET", JOBS)):
            answer = await client.request(method, path, json={"text": LINE})
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert str(file) in answer.json()["detail"]
        own()
        assert (await client.post(SPEAK, json={"text": LINE})).status_code == 200


async def test_answers_say_that_the_settings_are_refused_now(client_of, own, a_second_passes):
    client = await client_of(host(own()))
    told = (await client.post(SPEAK, json={"text": LINE})).json()
    assert not any("drfat" in warning for warning in told["warnings"])
    own(backend="drfat")
    a_second_passes()
    told = (await client.post(SPEAK, json={"text": LINE})).json()
    assert any("drfat" in warning for warning in told["warnings"])


async def test_a_recording_that_is_spoken_in_at_once_needs_no_store(
    client_of, own, folder, recording, standin_comfyui_factory
):
    server = standin_comfyui_factory(instant=True)
    client = await client_of(host(own(backend="comfyui", comfyui_url=server.url)))
    files = {"reference": await asyncio.to_thread(Path(recording).read_bytes)}
    answer = await client.post(CLONE, data={"text": LINE, "x_vector_only": "1"}, files=files)
    assert answer.status_code == 200, answer.text
    assert not (folder / "state").exists()


async def test_jobs_are_done_and_told_of_and_the_store_is_opened_for_them(
    client_of, own, heard, folder
):
    client = await client_of(host(own()))
    job = (await client.post(GENERATE, json={"text": LINE}, headers=ASYNC)).json()
    assert job["links"]["self"] == f"{JOBS}/{job['id']}"
    async with client.stream("GET", job["links"]["events"]) as events:
        assert '"succeeded"' in (await events.aread()).decode()
    sounding(heard, folder, (await client.get(f"{JOBS}/{job['id']}/audio")).content)


async def test_apps_of_different_folders_do_each_its_own_jobs(
    client_of, settings, folder, monkeypatch
):
    file = settings()
    listed = []
    for name in ("one", "other"):
        (folder / name).mkdir()
        monkeypatch.chdir(folder / name)
        app = host(file)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://engine", headers=TOKEN
            ) as client:
                await client.post(GENERATE, json={"text": LINE}, headers=ASYNC)
                listed.append((await client.get(JOBS)).json()["jobs"])
    assert [len(jobs) for jobs in listed] == [1, 1]


async def test_a_store_that_cannot_be_opened_is_an_answer_on_the_routes_of_jobs(
    client_of, own, folder
):
    (folder / "state").mkdir()
    (folder / "state" / "store.sqlite").mkdir()  # a disk's refusal
    client = await client_of(host(own()))
    for method, path in (("POST", GENERATE), ("GET", JOBS), ("GET", f"{JOBS}/1")):
        answer = await client.request(method, path, json={"text": LINE}, headers=ASYNC)
        assert answer.status_code == 503
        assert str(folder / "state") in answer.json()["detail"]
    assert (await client.post(SPEAK, json={"text": LINE})).status_code == 200
    (folder / "state" / "store.sqlite").rmdir()
    assert (await client.get(JOBS)).json() == {"jobs": []}


async def test_what_answers_is_documented_as_it_answers(client_of, own):
    """The host's own route of that path, too, is described as ours."""
    client = await client_of(host(own()))
    document = (await client.get("/openapi.json")).json()
    post = document["paths"][SPEAK]["post"]
    refusals = {status: answer for status, answer in post["responses"].items() if status >= "400"}
    assert {"401", "422", "503"} <= set(refusals)
    for answer in refusals.values():
        assert list(answer["content"]) == ["application/problem+json"]
    told = document["components"]["schemas"]["SpokenLine"]["properties"]
    fields = ["job_id", "status", "audio_path", "audio_url", "duration", "backend", "warnings"]
    assert list(told) == fields
    assert "SpokenLine" in str(post["responses"]["200"])
    referred = set(re.findall(r"'#/components/schemas/([^']+)'", str(document)))
    assert referred <= set(document["components"]["schemas"])


async def test_refusals_are_problem_documents(client_of, own):
    client = await client_of(host(own()))
    for wrong in (
        {},
        {"text": ""},
        {"text": LINE, "voice": "ar-EG-Salma"},
        {"text": LINE, "speed": 9},
        {"text": LINE, "pitch": 0},
    ):
        answer = await client.post(SPEAK, json=wrong)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"


async def test_it_speaks_in_an_app_that_runs_already(own):
    """As an add-on's router is: nobody enters its lifespan."""
    app = host(own(), output="output")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://e", headers=TOKEN) as client:
        answer = await client.post(SPEAK, json={"text": LINE})
    assert answer.status_code == 200
    assert answer.json()["audio_url"].startswith("/output/tts/")
