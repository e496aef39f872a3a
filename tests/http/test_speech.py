"""The plan's endpoints, as a user calls them."""

import asyncio
import json
import threading
from typing import get_args

import httpx
import pytest

from storycore_tts.domain.presets import CLONE_PRESETS, STYLES, TRAINING_PRESETS
from storycore_tts.entrypoints.http.schemas import ClonePresetName, Style, TrainingPresetName
from storycore_tts.testing.comfyui import StandInComfyUI
from storycore_tts.testing.comfyui.log import NodeRan

from .serving import node_inputs, on_comfyui, serving, with_tones
from .sounds import decoded, recording

LINE = "Once upon a time, a small robot learned to sing."
GENERATE, CLONE, TRAIN = (f"/ai/tts/qwen/{name}" for name in ("generate", "clone", "train"))
ASYNC = {"Prefer": "respond-async"}
TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg; codecs=opus",
    "aac": "audio/aac",
    "pcm": "audio/pcm",
}


@pytest.fixture(scope="module")
def comfyui():
    with StandInComfyUI(modern=True) as server:
        yield server


@pytest.fixture(scope="module")
def folder(comfyui, tmp_path_factory):
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="module")
def url(comfyui, folder):
    server = {
        "backends": ["draft"],
        **with_tones(folder),
    }
    with serving(on_comfyui(folder, comfyui, server=server)) as url:
        yield url


@pytest.fixture
def http(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def sent(**files):
    return {name: ("her.wav", data, "audio/wav") for name, data in files.items()}


def the_end_of(http, job):
    """Follow a job to its end."""
    with http.stream("GET", job["links"]["events"]) as answer:
        told = [line for line in answer.iter_lines() if line.startswith("data: ")]
    return json.loads(told[-1].removeprefix("data: "))


# --- speaking


def test_a_line_is_spoken_and_told_of(http):
    answer = http.post(GENERATE, json={"text": LINE, "speaker": "Serena", "seed": 7})
    assert answer.status_code == 200, answer.text
    headers = answer.headers
    assert headers["speech-seed"] == "7"
    assert headers["speech-backend"] == "comfyui"
    assert "1.7B" in headers["speech-model"]
    assert headers["speech-sample-rate"] == "24000"
    assert "speech-warnings" not in headers
    sound = decoded(answer.content, "wav")
    assert sound.duration == pytest.approx(float(headers["speech-duration"]), rel=0.05)
    assert sound.heard > 1
    assert sound.peak > 0.2


def test_each_format_is_sent_as_what_it_is(http):
    for kind, media_type in TYPES.items():
        answer = http.post(GENERATE, json={"text": "Hello.", "backend": "draft", "format": kind})
        assert answer.headers["content-type"] == media_type
        assert decoded(answer.content, kind).heard > 0.1


def test_what_is_asked_for_reaches_the_node(http, comfyui):
    body = {
        "text": LINE,
        "speaker": "ryan",
        "language": "de-AT",
        "instruct": "warmly",
        "temperature": 0.7,
        "top_p": 0.5,
        "top_k": 9,
        "repetition_penalty": 1.2,
        "seed": 5,
    }
    assert http.post(GENERATE, json=body).status_code == 200
    inputs = node_inputs(comfyui)
    assert (inputs["text"], inputs["speaker"], inputs["language"]) == (LINE, "Ryan", "German")
    assert (inputs["instruct"], inputs["temperature"], inputs["top_p"]) == ("warmly", 0.7, 0.5)
    assert (inputs["top_k"], inputs["repetition_penalty"]) == (9, 1.2)
    assert inputs["seed"] == 5


def test_pace_and_pitch_are_changed(http):
    plain = {"text": LINE, "speaker": "Serena", "backend": "draft"}
    usual = decoded(http.post(GENERATE, json=plain).content, "wav")
    fast = decoded(http.post(GENERATE, json={**plain, "speed": 2}).content, "wav")
    high = decoded(http.post(GENERATE, json={**plain, "pitch": 5}).content, "wav")
    assert fast.heard == pytest.approx(usual.heard / 2, rel=0.05)
    assert fast.pitch == pytest.approx(usual.pitch, rel=0.04)
    assert high.heard == pytest.approx(usual.heard, rel=0.05)
    assert high.pitch == pytest.approx(usual.pitch * 2 ** (5 / 12), rel=0.04)


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"text": ""}, 422, "text"),
        ({"speaker": "Emily"}, 422, "Ryan"),
        ({"language": "Klingon"}, 422, "Klingon"),
        ({"backend": "piper"}, 422, "comfyui, draft"),
        ({"checkpoint": "../mia"}, 422, "There is no checkpoint"),
        ({"speed": 9}, 422, "speed"),
        ({"format": "wma"}, 422, "format"),
        ({"txt": "hello"}, 422, "txt"),
        ({"seed": -1}, 422, "seed"),
    ],
)
def test_what_cannot_be_done_is_refused(http, comfyui, more, status, words):
    before = len(comfyui.log.submitted)
    answer = http.post(GENERATE, json={"text": LINE, "speaker": "Ryan", **more})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert words in json.dumps(problem, ensure_ascii=False)
    assert len(comfyui.log.submitted) == before


# --- cloning


def test_a_recording_is_cloned_and_kept_for_the_next_line(http, comfyui):
    form = {"text": LINE, "transcript": "La la la.", "format": "flac", "seed": "3"}
    answer = http.post(CLONE, data=form, files=sent(reference=recording()))
    assert answer.status_code == 200, answer.text
    assert decoded(answer.content, "flac").heard > 1
    assert node_inputs(comfyui)["ref_text"] == "La la la."

    known = answer.headers["reference-id"]
    again = http.post(CLONE, data={"text": LINE, "x_vector_only": "true", "reference_id": known})
    assert again.status_code == 200, again.text
    assert again.headers["reference-id"] == known
    assert node_inputs(comfyui)["x_vector_only"] is True


def test_a_recording_can_be_sent_ahead(http):
    kept = http.post("/ai/tts/qwen/references", files=sent(reference=recording(seconds=4.0)))
    assert kept.status_code == 201, kept.text
    assert kept.json()["duration"] == pytest.approx(4.0, abs=0.01)
    assert kept.json()["sample_rate"] == 24_000
    form = {"text": LINE, "transcript": "La.", "reference_id": kept.json()["id"]}
    assert decoded(http.post(CLONE, data=form).content, "wav").heard > 1


@pytest.mark.parametrize(
    ("form", "files", "status"),
    [
        ({"text": LINE}, {}, 422),
        ({"text": LINE, "reference_id": "up_" + "0" * 48, "x_vector_only": "true"}, {}, 404),
        ({"text": LINE, "x_vector_only": "true"}, {"reference": b"no sound" * 99}, 415),
        ({"text": LINE, "reference_id": "up_1"}, {"reference": recording()}, 422),
        ({"text": LINE}, {"reference": recording()}, 422),
        ({"text": LINE, "backend": "draft", "x_vector_only": "1"}, {"reference": recording()}, 422),
    ],
    ids=["none", "unknown", "noise", "both", "no words", "draft"],
)
def test_what_cannot_be_cloned_is_refused(http, form, files, status):
    answer = http.post(CLONE, data=form, files=sent(**files) or None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


# --- training


def test_a_voice_is_trained_and_speaks(http, comfyui, folder):
    body = {"dataset": "tones", "speaker_name": "my_hero", "num_epochs": 1}
    answer = http.post(TRAIN, json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    assert answer.json()["kind"] == "training"
    job = the_end_of(http, answer.json())
    assert job["state"] == "succeeded", job
    assert job["links"]["audio"] is None
    checkpoint = job["result"]["checkpoint_path"]
    assert checkpoint.startswith(str(folder / "trained"))
    inner = checkpoint.removeprefix(f"{folder / 'trained'}/")

    for name in (checkpoint, inner):
        line = {"text": LINE, "checkpoint": name, "speaker": "my_hero"}
        said = http.post(GENERATE, json=line)
        assert said.status_code == 200, said.text
        assert decoded(said.content, "wav").heard > 1
    assert http.get(job["links"]["self"] + "/audio").status_code == 409


# --- the same request again


@pytest.mark.parametrize("prefer", [{}, ASYNC], ids=["at once", "as a job"])
def test_a_key_makes_one_job_of_many_requests(http, comfyui, prefer):
    body = {"text": f"{LINE} {len(prefer)}", "speaker": "Ryan", "seed": 11}
    key = {"Idempotency-Key": f"line 1 {len(prefer)}", **prefer}
    before = len(comfyui.log.of(NodeRan))
    first, second = (http.post(GENERATE, json=body, headers=key) for _ in range(2))
    if prefer:
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["id"] == second.json()["id"]
        job = the_end_of(http, first.json())
        first, second = (http.get(job["links"]["audio"]) for _ in range(2))
    assert first.content == second.content
    assert decoded(first.content, "wav").heard > 1
    ran = [one.node_type for one in comfyui.log.of(NodeRan)[before:]]
    assert sum(name.startswith("FB_") for name in ran) == 1
    # Asked for in the other way, it is the same job still.
    other = {"Idempotency-Key": key["Idempotency-Key"], **({} if prefer else ASYNC)}
    assert http.post(GENERATE, json=body, headers=other).status_code in (200, 202)
    assert len(comfyui.log.of(NodeRan)) == before + len(ran)

    answer = http.post(GENERATE, json={**body, "text": "Another line."}, headers=key)
    assert answer.status_code == 409
    assert "key" in answer.json()["detail"]


def test_two_at_once_with_one_key_are_one_job(http, comfyui):
    body = {"text": "Twice at once.", "speaker": "Ryan"}
    before = len(comfyui.log.submitted)
    gate = comfyui.faults.hold("running")
    answers = []

    def ask():
        key = {"Idempotency-Key": "at once"}
        answers.append(http.post(GENERATE, json=body, headers=key))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(30)
    gate.release()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(comfyui.log.submitted) == before + 1


def test_a_clone_has_a_key_too(http):
    form = {"text": LINE, "transcript": "La la la."}
    key = {"Idempotency-Key": "clone 1"}
    first, second = (
        http.post(CLONE, data=form, files=sent(reference=recording()), headers=key)
        for _ in range(2)
    )
    assert first.status_code == second.status_code == 200, first.text + second.text
    assert first.content == second.content
    other = http.post(CLONE, data=form, files=sent(reference=recording(pitch=300)), headers=key)
    assert other.status_code == 409


def test_a_training_has_a_key_too(http):
    body = {"dataset": "tones", "speaker_name": "twin", "num_epochs": 1}
    key = {"Idempotency-Key": "training 1"}
    first, second = (http.post(TRAIN, json=body, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202), second.text
    assert first.json()["id"] == second.json()["id"]
    assert the_end_of(http, first.json())["state"] == "succeeded"


# --- clients that leave


async def leave(url, comfyui, **headers):
    """Ask for a line, hang up while it is spoken, and return its id at the backend."""
    gate = comfyui.faults.hold("running")
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        body = {"text": "Nobody waits for this.", "speaker": "Ryan"}
        asking = asyncio.ensure_future(http.post(GENERATE, json=body, headers=headers))
        assert await asyncio.to_thread(gate.reached.wait, 30)
        asking.cancel()
        await asyncio.wait([asking])
    return gate, comfyui.log.submitted[-1]


async def test_who_hangs_up_stops_the_backend(url, comfyui):
    gate, prompt = await leave(url, comfyui)
    assert await comfyui.log.until(lambda log: prompt in log.interrupt_requests, 30)
    gate.release()
    assert await comfyui.log.until(lambda log: prompt in log.interrupted, 30)


async def test_who_left_a_key_finds_the_line_spoken(url, comfyui):
    key = {"Idempotency-Key": "left behind"}
    gate, prompt = await leave(url, comfyui, **key)
    gate.release()
    assert await comfyui.log.until(lambda log: prompt in log.executed_ids, 30)
    assert prompt not in comfyui.log.interrupt_requests
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        body = {"text": "Nobody waits for this.", "speaker": "Ryan"}
        answer = await http.post(GENERATE, json=body, headers=key)
    assert decoded(answer.content, "wav").heard > 0.5
    assert comfyui.log.submitted[-1] == prompt


def test_a_style_is_an_instruction_by_name(http, comfyui):
    said = http.post(GENERATE, json={"text": LINE, "style": "calm"})
    assert said.status_code == 200
    assert node_inputs(comfyui)["instruct"] == STYLES["calm"]
    both = http.post(GENERATE, json={"text": LINE, "style": "calm", "instruct": "Loudly."})
    assert both.status_code == 422
    assert "not both" in both.json()["detail"]


def test_a_clone_preset_is_for_the_model_of_its_size(http, comfyui):
    line, file = {"text": LINE, "transcript": "La la la."}, sent(reference=recording())
    quality = http.post(CLONE, data={**line, "preset": "quality"}, files=file)
    assert quality.status_code == 200
    assert node_inputs(comfyui)["x_vector_only"] is False
    fast = http.post(CLONE, data={**line, "preset": "fast"}, files=file)
    assert fast.status_code == 422
    assert "0.6B" in fast.json()["detail"]


def test_a_training_preset_gives_what_is_not_given(http, comfyui):
    body = {"dataset": "tones", "speaker_name": "anna", "preset": "quality", "num_epochs": 3}
    job = http.post(TRAIN, json=body).json()
    assert the_end_of(http, job)["state"] == "succeeded"
    inputs = node_inputs(comfyui)
    assert (inputs["num_epochs"], inputs["learning_rate"]) == (3, 1e-5)


def test_the_names_in_the_interface_are_those_of_the_presets():
    assert get_args(Style) == tuple(STYLES)
    assert get_args(ClonePresetName) == tuple(CLONE_PRESETS)
    assert get_args(TrainingPresetName) == tuple(TRAINING_PRESETS)
