"""Consent to the use of stored voices over HTTP: records, scope, owners and revocation."""

import threading

import httpx
import pytest

from storycore_tts.domain.keys import hashed
from storycore_tts.entrypoints.cli import main
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.log import Submitted

from .attacks import LINE
from .serving import ASYNC, CLONE, GENERATE, JOBS, ended, on_comfyui, serving
from .sounds import recording

VOICES, OURS = "/v1/audio/voices", "/ai/tts/qwen/voices"
MIA, TOM = "sctts_" + 43 * "m", "sctts_" + 43 * "t"  # pytest-xdist wants the same ids each time


@pytest.fixture
def comfyui():
    with StandInComfyUI(modern=True) as server:
        yield server


@pytest.fixture
def settings(comfyui, tmp_path):
    server = {"concurrency": {"comfyui": 1}}
    return on_comfyui(tmp_path, comfyui.url, server=server)


@pytest.fixture
def http(settings):
    with serving(settings) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def kept(http, name="Mia", pitch=220.0, **form):
    form = {"name": name, "consent": "Mia herself, 2026-03-02", "ref_text": "La la la.", **form}
    files = {"audio_sample": ("mia.wav", recording(pitch=pitch), "audio/wav")}
    files |= {part: form.pop(part) for part in ("consent_document",) if part in form}
    answer = http.post(VOICES, data=form, files=files)
    assert answer.status_code == 201, answer.text
    return answer.json()


def submitted(http, **line):
    answer = http.post(GENERATE, json={"text": LINE, "speaker": "Mia", **line}, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.json()


def by_http(http, folder):
    answer = http.post(f"{OURS}/Mia/revoke", json={"reason": "She asked."})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return told["ended_jobs"], told["outputs"]


def by_command(http, folder):
    (folder / "s.yaml").write_text(
        f"tts: {{qwen: {{voices_dir: {folder}/voices, server: {{state_dir: {folder}/state}}}}}}"
    )
    given = ("revoke", "Mia", "--yes", "--reason", "She asked.", "--config", str(folder / "s.yaml"))
    assert main(["voices", *given]) == 0
    return 21, None


@pytest.mark.parametrize("revoke", [by_http, by_command])
def test_nothing_is_delivered_after_a_revocation_while_jobs_wait_and_one_runs(
    http, comfyui, tmp_path, revoke, capsys
):
    kept(http)
    before = ended(http, submitted(http))
    assert before["state"] == "succeeded"
    gate = comfyui.faults.hold("running")
    running = submitted(http)
    gate.reached.wait(60)
    waiting = [submitted(http) for _ in range(20)]
    other = submitted(http, speaker="Serena")

    failed, outputs = revoke(http, tmp_path)
    assert failed == 21
    assert outputs in (None, [before["id"]])
    gate.release()
    for job in (running, *waiting):
        job = ended(http, job)
        assert (job["state"], job["problem"]["status"]) == ("failed", 403)
        assert job["problem"]["type"] == "urn:storycore-tts:problem:consent-refused"
        assert http.get(f"{JOBS}/{job['id']}/audio").status_code == 409
    assert ended(http, other)["state"] == "succeeded"
    assert len(comfyui.log.of(Submitted)) == 3  # the two that began, and the other voice

    again = http.post(GENERATE, json={"text": LINE, "speaker": "Mia"})
    assert (again.status_code, again.json()["type"]) == (403, job["problem"]["type"])
    assert "revoked" in again.json()["detail"]
    (revocation,) = VoiceLibrary(tmp_path / "voices").consents.revocations()
    assert revocation.reason == "She asked."
    assert not list(tmp_path.rglob("reference.wav"))


def test_a_request_that_runs_is_refused_when_it_is_done(http, comfyui, tmp_path):
    kept(http)
    gate = comfyui.faults.hold("running")
    answers = []
    body = {"text": LINE, "speaker": "Mia"}
    thread = threading.Thread(target=lambda: answers.append(http.post(GENERATE, json=body)))
    thread.start()
    gate.reached.wait(60)
    VoiceLibrary(tmp_path / "voices").revoke("Mia")
    gate.release()
    thread.join()
    assert answers[0].status_code == 403, answers[0].text


def test_a_job_whose_notice_was_spoken_in_a_voice_that_is_revoked_meanwhile_fails(
    http, comfyui, tmp_path
):
    kept(http)
    gate = comfyui.faults.hold("running", after=1)  # the line, which follows its notice
    job = submitted(http, speaker="Serena", disclosure={"speaker": "Mia"})
    gate.reached.wait(60)
    VoiceLibrary(tmp_path / "voices").revoke("Mia")
    gate.release()
    job = ended(http, job)
    assert (job["state"], job["problem"]["status"]) == ("failed", 403)


def test_a_revoked_recording_is_not_cloned_from_an_upload_either(http):
    kept(http)
    clone = {"text": LINE, "transcript": "La la la.", "consent": "She agreed."}
    files = {"reference": ("mia.wav", recording(), "audio/wav")}
    spoken = http.post(CLONE, data=clone, files=files)
    assert spoken.status_code == 200, spoken.text
    by_http(http, None)
    stored = {**clone, "reference_id": spoken.headers["reference-id"]}
    assert http.post(CLONE, data=stored).status_code == 404  # the copy was deleted
    assert http.post(CLONE, data=clone, files=files).status_code == 403
    body = {"name": "Mia", "consent": "Mia herself, 2026-03-02", "ref_text": "La la la."}
    sample = {"audio_sample": files["reference"]}
    again = http.post(VOICES, data=body, files=sample)
    assert (again.status_code, "was revoked" in again.json()["detail"]) == (403, True)
    assert again.json()["error"]["code"] == "consent-refused"
    kept(http, consent="Mia, again, 2026-12-01")


def test_the_record_is_told_and_its_scope_holds_on_every_route(http):
    kept(
        http,
        consent_by="Mia B.",
        consent_document=("signed.pdf", b"%PDF", "application/pdf"),
        projects=["harbour", "pier"],
        languages=["en"],
        purposes=["audiobook"],
        expires="2100-01-31",
    )
    record = http.get(f"{OURS}/mia/consent").json()
    assert record["how"] == "document"
    assert len(record["document_sha256"]) == 64
    assert (record["given_by"], record["projects"]) == ("Mia B.", ["harbour", "pier"])
    assert (record["languages"], record["expires"][:10]) == (["English"], "2100-02-01")
    covered = {"project": "pier", "language": "English", "purpose": "audiobook"}
    ours, openai = {"text": LINE, "speaker": "Mia"}, {"input": LINE, "voice": "Mia"}
    for path, line in ((GENERATE, ours), ("/v1/audio/speech", openai)):
        assert http.post(path, json={**line, **covered}).status_code == 200
        for other in ({"project": ""}, {"purpose": "trailer"}, {"language": "fr"}):
            answer = http.post(path, json={**line, **covered, **other})
            assert answer.status_code == 403, answer.text
        refused = http.post(path, json={**line, **covered, "project": ""}, headers=ASYNC)
        assert refused.status_code == 403
    assert http.get(f"{OURS}/Zoe/consent").status_code == 404
    assert http.post(f"{OURS}/Zoe/revoke", json={}).status_code == 404


@pytest.fixture
def owners(comfyui, tmp_path):
    server = {"api_keys": {"mia": hashed(MIA), "tom": hashed(TOM)}}
    with serving(on_comfyui(tmp_path, comfyui.url, server=server)) as url:
        clients = [
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
            for key in (MIA, TOM)
        ]
        with clients[0], clients[1]:
            yield clients


def test_anothers_voice_is_as_one_that_does_not_exist(owners):
    mia, tom = owners
    kept(mia)
    line, body = {"text": LINE, "speaker": "Mia"}, {"input": LINE, "voice": "Mia"}
    assert mia.post(GENERATE, json=line).status_code == 200
    answer = tom.post(GENERATE, json=line)
    assert (answer.status_code, "Stored voices" in answer.text) == (422, False)
    assert tom.post("/v1/audio/speech", json=body).status_code == 400
    notice = {"text": LINE, "speaker": "Serena", "disclosure": {"speaker": "Mia"}}
    assert mia.post(GENERATE, json=notice).status_code == 200
    assert tom.post(GENERATE, json=notice).status_code == 422
    assert ended(tom, tom.post(GENERATE, json=notice, headers=ASYNC).json())["state"] == "failed"
    assert "Mia" not in tom.get(VOICES).text + tom.get("/ai/tts/qwen/speakers").text
    assert "Mia" in mia.get(VOICES).text
    assert tom.get(f"{OURS}/Mia/consent").status_code == 404
    assert tom.post(f"{OURS}/Mia/revoke", json={}).status_code == 404
    assert tom.delete(f"{VOICES}/Mia").status_code == 404
    assert mia.delete(f"{VOICES}/Mia").status_code == 200


def test_a_statement_for_a_clone_that_is_missing_is_missed(http):
    files = {"reference": ("mia.wav", recording(), "audio/wav")}
    clone = {"text": LINE, "transcript": "La la la."}
    missed = http.post(CLONE, data=clone, files=files)
    assert "at_once" in missed.headers["speech-warnings"]
    stated = http.post(CLONE, data={**clone, "consent": "My own voice."}, files=files)
    assert "at_once" not in stated.headers.get("speech-warnings", "")


def test_a_required_statement_is_asked_for_before_a_job_is_accepted(settings, comfyui):
    required = type(settings)(**{**dict(settings), "consent": {"at_once": "required"}})
    files = {"reference": ("mia.wav", recording(), "audio/wav")}
    clone = {"text": LINE, "transcript": "La la la."}
    with serving(required) as url, httpx.Client(base_url=url, timeout=60) as http:
        for headers in ({}, ASYNC):
            answer = http.post(CLONE, data=clone, files=files, headers=headers)
            assert (answer.status_code, "--consent" in answer.json()["hint"]) == (403, True)
        assert http.get(JOBS).json()["jobs"] == []
        stated = http.post(CLONE, data={**clone, "consent": "My own voice."}, files=files)
        assert stated.status_code == 200
    assert len(comfyui.log.of(Submitted)) == 1
