"""What POST /prompt refuses, in ComfyUI's words."""

from __future__ import annotations

import pytest

SPEAKERS = [
    "Aiden", "Dylan", "Eric", "Ono_anna", "Ryan", "Serena", "Sohee", "Uncle_fu", "Vivian",
]  # fmt: skip
FAILED = {
    "type": "prompt_outputs_failed_validation",
    "message": "Prompt outputs failed validation",
    "details": "",
    "extra_info": {},
}


async def refused(client, graph):
    answer = await client.http.post("/prompt", json={"prompt": graph, "client_id": "ann"})
    assert answer.status_code == 400, answer.text
    return answer.json()


async def complaint(client, graph):
    """The one complaint about node 1."""
    body = await refused(client, graph)
    assert body["error"] == FAILED
    assert list(body["node_errors"]) == ["1"]
    node = body["node_errors"]["1"]
    assert node["dependent_outputs"] == ["2"]
    assert node["class_type"] == graph["1"]["class_type"]
    (error,) = node["errors"]
    return error


async def test_a_speaker_in_the_wrong_case_is_not_in_the_list(server, connect, voice_graph):
    client = await connect(server)
    assert await complaint(client, voice_graph(speaker="ryan")) == {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"speaker: 'ryan' not in {SPEAKERS}",
        "extra_info": {
            "input_name": "speaker",
            "input_config": [SPEAKERS, {"default": "Ryan"}],
            "received_value": "ryan",
        },
    }


TOKENS = ["INT", {"default": 2048, "min": 512, "max": 4096, "step": 256}]


async def test_a_value_below_the_minimum(server, connect, voice_graph):
    client = await connect(server)
    assert await complaint(client, voice_graph(max_new_tokens=100)) == {
        "type": "value_smaller_than_min",
        "message": "Value 100 smaller than min of 512",
        "details": "max_new_tokens",
        "extra_info": {
            "input_name": "max_new_tokens",
            "input_config": TOKENS,
            "received_value": 100,
        },
    }


async def test_a_value_above_the_maximum(server, connect, voice_graph):
    client = await connect(server)
    error = await complaint(client, voice_graph(seed=2**64))
    assert error["type"] == "value_bigger_than_max"
    assert error["message"] == (
        "Value 18446744073709551616 bigger than max of 18446744073709551615"
    )


async def test_a_value_that_is_no_number(server, connect, voice_graph):
    client = await connect(server)
    assert await complaint(client, voice_graph(max_new_tokens="abc")) == {
        "type": "invalid_input_type",
        "message": "Failed to convert an input value to a INT value",
        "details": "max_new_tokens, abc, invalid literal for int() with base 10: 'abc'",
        "extra_info": {
            "input_name": "max_new_tokens",
            "input_config": TOKENS,
            "received_value": "abc",
            "exception_message": "invalid literal for int() with base 10: 'abc'",
        },
    }


async def test_a_missing_input(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    del graph["1"]["inputs"]["text"]
    assert await complaint(client, graph) == {
        "type": "required_input_missing",
        "message": "Required input is missing",
        "details": "text",
        "extra_info": {"input_name": "text"},
    }


async def test_a_link_of_the_wrong_type(server, connect, voice_graph, clone_graph):
    client = await connect(server)
    graph = voice_graph()
    graph["1"]["inputs"]["text"] = ["0", 0]
    graph["0"] = {"class_type": "FB_Qwen3TTSVoiceDesign", "inputs": {}}
    error = await complaint(client, graph)
    assert error["type"] == "return_type_mismatch"
    assert error["details"] == "text, received_type(AUDIO) mismatch input_type(STRING)"
    assert error["extra_info"]["linked_node"] == ["0", 0]


async def test_a_file_that_was_not_uploaded(server, connect, clone_graph):
    client = await connect(server)
    body = await refused(client, clone_graph(audio="nope.wav"))
    assert body["node_errors"]["0"]["errors"] == [
        {
            "type": "custom_validation_failed",
            "message": "Custom validation failed for node",
            "details": "audio - Invalid audio file: nope.wav",
            "extra_info": {"input_name": "audio"},
        }
    ]


async def test_a_link_to_nowhere(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    graph["2"]["inputs"]["audio"] = ["7", 0]
    body = await refused(client, graph)
    assert body["error"]["details"] == "Exception when validating node: '7'"
    (error,) = body["node_errors"]["2"]["errors"]
    assert error["type"] == "exception_during_validation"
    assert error["extra_info"]["exception_type"] == "KeyError"


async def test_a_slot_that_does_not_exist(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    graph["2"]["inputs"]["audio"] = ["1", 3]
    body = await refused(client, graph)
    assert body["error"]["details"] == "Exception when validating node: tuple index out of range"


async def test_a_graph_without_an_output_node(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    del graph["2"]
    assert await refused(client, graph) == {
        "error": {
            "type": "prompt_no_outputs",
            "message": "Prompt has no outputs",
            "details": "",
            "extra_info": {},
        },
        "node_errors": {},
    }


async def test_an_unknown_node(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    graph["1"]["class_type"] = "NoSuchNode"
    assert await refused(client, graph) == {
        "error": {
            "type": "invalid_prompt",
            "message": "Cannot execute because node NoSuchNode does not exist.",
            "details": "Node ID '#1'",
            "extra_info": {},
        },
        "node_errors": {},
    }


async def test_a_node_without_a_class(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    del graph["1"]["class_type"]
    body = await refused(client, graph)
    assert body["error"]["message"] == (
        "Cannot execute because a node is missing the class_type property."
    )


async def test_the_valid_part_of_a_graph_runs(server, connect, voice_graph):
    client = await connect(server)
    graph = voice_graph()
    graph["3"] = {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0]}}
    answer = await client.http.post("/prompt", json={"prompt": graph, "client_id": "ann"})
    assert answer.status_code == 200
    assert answer.json()["node_errors"] == {
        "3": {
            "errors": [
                {
                    "type": "required_input_missing",
                    "message": "Required input is missing",
                    "details": "filename_prefix",
                    "extra_info": {"input_name": "filename_prefix"},
                }
            ],
            "dependent_outputs": ["3"],
            "class_type": "SaveAudio",
        }
    }
    await client.frames_of_run()
    prompt_id = answer.json()["prompt_id"]
    assert list((await client.history(prompt_id))[prompt_id]["outputs"]) == ["2"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [({"max_new_tokens": "512"}, 512), ({"max_new_tokens": 512.7}, 512), ({"seed": "7"}, 7)],
)
async def test_numbers_in_other_clothes_are_converted(server, connect, voice_graph, sent, kept):
    client = await connect(server)
    entry = await client.outcome(voice_graph(**sent))
    (name,) = sent
    assert entry["prompt"][2]["1"]["inputs"][name] == kept


async def test_unknown_inputs_and_odd_steps_are_accepted(server, connect, voice_graph):
    client = await connect(server)
    entry = await client.outcome(voice_graph(bogus=1, max_new_tokens=600))
    assert entry["status"]["status_str"] == "success"


@pytest.mark.parametrize("body", [b"{nonsense", b'{"prompt": null}', b"[]"])
async def test_what_is_no_graph_makes_the_server_stumble(server, connect, body):
    client = await connect(server)
    answer = await client.http.post("/prompt", content=body)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_no_prompt_at_all(server, connect):
    client = await connect(server)
    answer = await client.http.post("/prompt", json={"client_id": "ann"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "no_prompt"


async def test_a_number_is_used_up_by_a_refused_graph(server, connect, voice_graph):
    client = await connect(server)
    await refused(client, voice_graph(speaker="Nobody"))
    answer = await client.http.post("/prompt", json={"prompt": voice_graph()})
    assert answer.json()["number"] == 1
