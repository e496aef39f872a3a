"""What POST /prompt refuses, in ComfyUI's words, and what it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# Graphs and the answers that ComfyUI 0.3.64 with ComfyUI-Qwen-TTS 1.0.6 gave to them.
RECORDED = json.loads((Path(__file__).parent / "refusals.json").read_text("utf-8"))


def told(answer):
    """What a recorded refusal is about."""
    details = [e["details"] for node in answer["node_errors"].values() for e in node["errors"]]
    return (details or [answer["error"]["message"]])[0][:40]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: told(one["answer"]))
async def test_a_refusal_is_word_for_word_that_of_comfyui(server, connect, recorded):
    client = await connect(server)
    answer = await client.http.post("/prompt", json={"prompt": recorded["prompt"]})
    assert (answer.status_code, answer.json()) == (400, recorded["answer"])


@pytest.mark.parametrize(
    ("link", "details"), [(["7", 0], "'7'"), (["1", 3], "tuple index out of range")]
)
async def test_a_link_to_nowhere(server, connect, voice_graph, link, details):
    client = await connect(server)
    graph = voice_graph()
    graph["2"]["inputs"]["audio"] = link
    answer = await client.http.post("/prompt", json={"prompt": graph})
    assert answer.status_code == 400
    wrong = f"Exception when validating node: {details}"
    assert answer.json()["error"]["details"] == wrong
    [error] = answer.json()["node_errors"]["2"]["errors"]
    assert error["type"] == "exception_during_validation"


async def test_a_file_that_was_not_uploaded(server, connect, clone_graph):
    client = await connect(server)
    answer = await client.http.post("/prompt", json={"prompt": clone_graph(audio="nope.wav")})
    [error] = answer.json()["node_errors"]["0"]["errors"]
    assert error["type"] == "custom_validation_failed"
    assert error["details"] == "audio - Invalid audio file: nope.wav"


async def test_the_valid_part_of_a_graph_runs(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    graph["3"] = {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0]}}
    answer = await client.http.post("/prompt", json={"prompt": graph, "client_id": "ann"})
    assert answer.status_code == 200
    assert list(answer.json()["node_errors"]) == ["3"]  # its words: refusals.json
    await client.frames_of_run()
    prompt_id = answer.json()["prompt_id"]
    assert list((await client.history(prompt_id))[prompt_id]["outputs"]) == ["2"]


async def test_numbers_in_other_clothes_are_converted_and_odd_ones_accepted(
    server, connect, voice_graph
):
    client = await connect(server)
    for name, sent, kept in (
        ("max_new_tokens", "512", 512),
        ("max_new_tokens", 512.7, 512),
        ("max_new_tokens", 600, 600),
        ("seed", "7", 7),
        ("bogus", 1, 1),
    ):
        entry = await client.outcome(voice_graph(**{name: sent}))
        assert entry["status"]["status_str"] == "success"
        assert entry["prompt"][2]["1"]["inputs"][name] == kept


@pytest.mark.parametrize("body", [b"{nonsense", b'{"prompt": null}', b"[]"])
async def test_what_is_no_graph_makes_the_server_stumble(server, connect, body):
    client = await connect(server)
    answer = await client.http.post("/prompt", content=body)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
