"""The plan's endpoints, as a user calls them."""

import asyncio
import json
import threading
from typing import get_args

import httpx
import pytest

from storycore_tts.domain.presets import CLONE_PRESETS, STYLES, TRAINING_PRESETS
from storycore_tts.entrypoints.http.schemas import ClonePresetName, Style, TrainingPresetName
from storycore_tts.testing.comfyui.log import NodeRan

from .serving import (
    ASYNC,
    CLONE,
    GENERATE,
    TRAIN,
    ended,
    node_inputs,
    on_comfyui,
    serving,
    with_tones,
)
from .sounds import TYPES, decoded, recording

LINE = "Once upon a time, a small robot learned to sing."


@pytest.fixture(scope="module")
def url(comfyui, folder):
    server = {"backends": ["draft"], **with_tones(folder)}
    with serving(on_comfyui(folder, comfyui.url, server=server)) as url:
        yield url


def sent(**files):
    return {name: ("her.wav", data, "audio/wav") for name, data in files.items()}


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
    sampling = {"temperature": 0.7, "top_p": 0.5, "top_k": 9, "repetition_penalty": 1.2, "seed": 5}
    body = {"text": LINE, "speaker": "ryan", "language": "de-AT", "instruct": "warmly", **sampling}
    marked = {"text": f"**{LINE}** [laugh]", "strip_markup": True}
    answer = http.post(GENERATE, json=body | marked)
    assert (answer.status_code, "speech-warnings" in answer.headers) == (200, False)
    given = {**body, "speaker": "Ryan", "language": "German"}
    assert given.items() <= node_inputs(comfyui).items()


def test_pace_and_pitch_are_changed(http):
    plain = {"text": LINE, "speaker": "Serena", "backend": "draft"}
    usual = decoded(http.post(GENERATE, json=plain).content, "wav")
    other = decoded(http.post(GENERATE, json={**plain, "speed": 2, "pitch": 5}).content, "wav")
    assert other.heard == pytest.approx(usual.heard / 2, rel=0.05)
    assert other.pitch == pytest.approx(usual.pitch * 2 ** (5 / 12), rel=0.04)


def test_what_cannot_be_done_is_refused(http, comfyui):
    before = len(comfyui.log.submitted)
    for more, words in (
        ({"text": ""}, "text"),
        ({"speaker": "Emily"}, "Ryan"),
        ({"language": "Klingon"}, "Klingon"),
        ({"backend": "piper"}, "comfyui, draft"),
        ({"checkpoint": "../mia"}, "was not found"),
        ({"speed": 9}, "speed"),
        ({"format": "wma"}, "format"),
        ({"txt": "hello"}, "txt"),
        ({"seed": -1}, "seed"),
        ({"style": "calm", "instruct": "Loudly."}, "not both"),
    ):
        answer = http.post(GENERATE, json={"text": LINE, "speaker": "Ryan", **more})
        assert answer.status_code == answer.json()["status"] == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert words in json.dumps(answer.json(), ensure_ascii=False)
    assert len(comfyui.log.submitted) == before


# --- cloning and training


def test_a_recording_is_cloned_and_kept_for_the_next_line(http, comfyui):
    form = {
        "text": LINE,
        "transcript": "La la la.",
        "format": "flac",
        "preset": "quality",
        "seed": "3",
    }
    answer = http.post(CLONE, data=form, files=sent(reference=recording()))
    assert answer.status_code == 200, answer.text
    assert decoded(answer.content, "flac").heard > 1
    inputs = node_inputs(comfyui)
    assert (inputs["ref_text"], inputs["x_vector_only"]) == ("La la la.", False)

    known = answer.headers["reference-id"]
    again = http.post(CLONE, data={"text": LINE, "x_vector_only": "true", "reference_id": known})
    assert again.status_code == 200, again.text
    assert again.headers["reference-id"] == known
    assert node_inputs(comfyui)["x_vector_only"] is True

    marked = {"text": "*Run!* [laugh]", "strip_markup": "true"}
    told = http.post(CLONE, data=form | marked | {"reference_id": known, "instruct": "Whisper."})
    assert node_inputs(comfyui)["target_text"] == "Run!"
    assert "clones ignore instruct" in told.headers["speech-warnings"]

    ahead = http.post("/ai/tts/qwen/references", files=sent(reference=recording(seconds=5.0)))
    assert ahead.status_code == 201, ahead.text
    assert ahead.json()["duration"] == pytest.approx(5.0, abs=0.01)
    assert ahead.json()["sample_rate"] == 24_000
    form = {"text": LINE, "transcript": "La.", "reference_id": ahead.json()["id"]}
    assert decoded(http.post(CLONE, data=form).content, "wav").heard > 1


@pytest.mark.parametrize(
    ("form", "files", "status"),
    [
        ({}, {}, 422),
        ({"reference_id": "up_" + "0" * 48, "x_vector_only": "true"}, {}, 404),
        ({"x_vector_only": "true"}, {"reference": b"no sound" * 99}, 415),
        ({"reference_id": "up_1"}, {"reference": recording()}, 422),
        ({}, {"reference": recording()}, 422),
        ({"backend": "draft", "x_vector_only": "1"}, {"reference": recording()}, 422),
        ({"transcript": "La.", "preset": "fast"}, {"reference": recording()}, 422),
    ],
    ids=["none", "unknown", "noise", "both", "no words", "draft", "for the smaller model"],
)
def test_what_cannot_be_cloned_is_refused(http, form, files, status):
    answer = http.post(CLONE, data={"text": LINE, **form}, files=sent(**files) or None)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "preset" not in form or "0.6B" in answer.json()["detail"]


def test_a_voice_is_trained_and_speaks(http, comfyui, folder):
    body = {"dataset": "tones", "speaker_name": "my_hero", "preset": "quality", "num_epochs": 1}
    key = {"Idempotency-Key": "training 1"}
    answer, again = (http.post(TRAIN, json=body, headers=key) for _ in range(2))
    assert (answer.status_code, again.status_code) == (202, 202), again.text
    assert answer.json()["id"] == again.json()["id"]
    assert answer.headers["location"] == answer.json()["links"]["self"]
    assert answer.json()["kind"] == "training"
    job = ended(http, answer.json())
    assert job["state"] == "succeeded", job
    assert job["links"]["audio"] is None
    assert http.get(job["links"]["self"] + "/audio").status_code == 409
    inputs = node_inputs(comfyui)
    assert (inputs["num_epochs"], inputs["learning_rate"]) == (1, 1e-5)

    checkpoint = job["result"]["checkpoint_path"]
    assert checkpoint.startswith(f"{folder / 'trained'}/")
    for name in (checkpoint, checkpoint.removeprefix(f"{folder / 'trained'}/")):
        said = http.post(GENERATE, json={"text": LINE, "checkpoint": name, "speaker": "my_hero"})
        assert said.status_code == 200, said.text
        assert decoded(said.content, "wav").heard > 1


# --- the same request again


@pytest.mark.parametrize("prefer", [{}, ASYNC], ids=["at once", "as a job"])
def test_a_key_makes_one_job_of_many_requests(http, comfyui, prefer):
    body = {"text": f"{LINE} {len(prefer)}", "speaker": "Ryan", "seed": 11}
    key = {"Idempotency-Key": f"line 1 {len(prefer)}"}
    before = len(comfyui.log.of(NodeRan))
    first, second = (http.post(GENERATE, json=body, headers=key | prefer) for _ in range(2))
    if prefer:
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["id"] == second.json()["id"]
        job = ended(http, first.json())
        first, second = (http.get(job["links"]["audio"]) for _ in range(2))
    assert first.content == second.content
    assert decoded(first.content, "wav").heard > 1
    ran = [one.node_type for one in comfyui.log.of(NodeRan)[before:]]
    assert sum(name.startswith("FB_") for name in ran) == 1
    # Asked for in the other way, it is the same job still.
    other = key | ({} if prefer else ASYNC)
    assert http.post(GENERATE, json=body, headers=other).status_code in (200, 202)
    assert len(comfyui.log.of(NodeRan)) == before + len(ran)

    answer = http.post(GENERATE, json={**body, "text": "Another line."}, headers=key | prefer)
    assert answer.status_code == 409
    assert "key" in answer.json()["detail"]


def test_some_at_once_with_one_key_are_one_job(http, comfyui):
    body, key = {"text": "Twice at once.", "speaker": "Ryan"}, {"Idempotency-Key": "at once"}
    before = len(comfyui.log.submitted)
    gate = comfyui.faults.hold("running")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(http.post(GENERATE, json=body, headers=key)))
        for _ in range(3)
    ]
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
    def cloned(**how):
        form = {"text": LINE, "ref_text": "La la la."}
        key = {"Idempotency-Key": "clone 1"}
        return http.post(CLONE, data=form, files=sent(reference=recording(**how)), headers=key)

    first, second = cloned(), cloned()
    assert first.status_code == second.status_code == 200, first.text + second.text
    assert first.content == second.content
    assert cloned(pitch=300).status_code == 409


# --- clients that leave


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "left behind"}], ids=["", "with a key"])
async def test_who_hangs_up_stops_the_backend_unless_there_is_a_key(url, comfyui, key):
    gate = comfyui.faults.hold("running")
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        def ask():
            body = {"text": "Nobody waits for this.", "speaker": "Ryan"}
            return asyncio.ensure_future(http.post(GENERATE, json=body, headers=key))

        asking = ask()
        assert await asyncio.to_thread(gate.reached.wait, 30)
        asking.cancel()
        await asyncio.wait([asking])
        prompt = comfyui.log.submitted[-1]
        if not key:
            assert await comfyui.log.until(lambda log: prompt in log.interrupt_requests, 30)
        gate.release()
        if not key:
            assert await comfyui.log.until(lambda log: prompt in log.interrupted, 30)
        else:  # the line is found spoken
            assert await comfyui.log.until(lambda log: prompt in log.executed_ids, 30)
            assert prompt not in comfyui.log.interrupt_requests
            assert decoded((await ask()).content, "wav").heard > 0.5
            assert comfyui.log.submitted[-1] == prompt


# --- names of styles and presets


def test_a_style_is_an_instruction_by_name(http, comfyui):
    assert http.post(GENERATE, json={"text": LINE, "style": "calm"}).status_code == 200
    assert node_inputs(comfyui)["instruct"] == STYLES["calm"]


def test_the_names_in_the_interface_are_those_of_the_presets():
    assert get_args(Style) == tuple(STYLES)
    assert get_args(ClonePresetName) == tuple(CLONE_PRESETS)
    assert get_args(TrainingPresetName) == tuple(TRAINING_PRESETS)
