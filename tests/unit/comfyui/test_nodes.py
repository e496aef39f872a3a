"""Values are held against the server's own /object_info."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.adapters.comfyui.protocol.graphs import describe_version
from storycore_tts.adapters.comfyui.protocol.nodes import (
    InputSpec,
    NodeSpec,
    missing_node_error,
)
from storycore_tts.errors import (
    GenerationFailed,
    InvalidRequest,
    UnsupportedLanguage,
)

CLASS = "FB_Qwen3TTSCustomVoice"
VALUES = {
    "text": "Hello",
    "speaker": "Ryan",
    "model_choice": "1.7B",
    "device": "cuda",
    "precision": "bf16",
    "language": "English",
}


@pytest.fixture
def custom_voice(node_info, either_spelling):
    return NodeSpec.read(CLASS, either_spelling(node_info("CustomVoice")))


def test_inputs_are_read_in_either_spelling(custom_voice):
    assert custom_voice.module == "custom_nodes.ComfyUI-Qwen-TTS"
    assert custom_voice.choices("speaker")[:2] == ("Aiden", "Dylan")
    assert len(custom_voice.choices("language")) == 11
    assert custom_voice.choices("text") == custom_voice.choices("nonsense") == ()
    assert custom_voice.inputs["speaker"].default == "Ryan"
    tokens = custom_voice.inputs["max_new_tokens"]
    assert (tokens.low, tokens.high, tokens.required) == (512, 4096, False)
    assert custom_voice.inputs["text"].required


def test_values_that_fit_are_passed_on_as_they_are(custom_voice):
    values = {**VALUES, "seed": 2**64 - 1, "top_p": 1.0, "config": ["9", 0], "instruct": ""}
    assert custom_voice.fit(values) == values


@pytest.mark.parametrize(
    ("name", "written", "sent"),
    [
        ("speaker", "ryan", "Ryan"),
        ("speaker", "UNCLE_FU", "Uncle_fu"),
        ("language", "ENGLISH", "English"),
        ("model_choice", "1.7b", "1.7B"),
        ("precision", "BF16", "bf16"),
    ],
)
def test_choices_are_sent_in_the_servers_spelling(custom_voice, name, written, sent):
    assert custom_voice.fit({**VALUES, name: written})[name] == sent


@pytest.mark.parametrize(
    ("name", "written", "kind", "said"),
    [
        ("device", "cdua", InvalidRequest, "device 'cdua' is not known.*Did you mean 'cuda'"),
        ("speaker", "Rian", InvalidRequest, "speaker 'Rian'.*Did you mean 'Ryan'"),
        ("language", "Germn", UnsupportedLanguage, "language 'Germn'.*Did you mean 'German'"),
        ("language", "Klingon", UnsupportedLanguage, "It takes: Auto, Chinese, English"),
        ("speaker", "", InvalidRequest, "It takes: Aiden"),
    ],
)
def test_another_choice_is_refused_with_the_closest_and_the_list(
    custom_voice, name, written, kind, said
):
    with pytest.raises(InvalidRequest, match=said) as caught:
        custom_voice.fit({**VALUES, name: written})
    assert type(caught.value) is kind
    assert CLASS in caught.value.message
    assert caught.value.backend == "comfyui"


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("max_new_tokens", 512, 4096),
        ("top_p", 0.0, 1.0),
        ("top_k", 0, 100),
        ("temperature", 0.1, 2.0),
        ("repetition_penalty", 1.0, 2.0),
        ("seed", 0, 2**64 - 1),
    ],
)
def test_numbers_keep_to_the_nodes_limits(custom_voice, name, low, high):
    for value in (low, high):
        assert custom_voice.fit({**VALUES, name: value})[name] == value
    for value in (low - 1, high + 1, math.nan):
        with pytest.raises(InvalidRequest, match=f"{name} is .*the node {CLASS} takes"):
            custom_voice.fit({**VALUES, name: value})


def test_limits_are_those_of_the_server_at_hand(spec):
    narrow = spec("CustomVoice", top_k=["INT", {"min": 5, "max": 6}])
    with pytest.raises(InvalidRequest, match=r"top_k is 20; .* takes 5 to 6"):
        narrow.fit({**VALUES, "top_k": 20})
    assert spec("CustomVoice", top_k=["INT"]).fit({**VALUES, "top_k": 10**9})["top_k"] == 10**9


def test_booleans_are_no_numbers_to_be_limited(spec):
    narrow = spec("CustomVoice", unload_model_after_generate=["BOOLEAN", {"min": 5}])
    assert narrow.fit({**VALUES, "unload_model_after_generate": True})


def test_inputs_that_the_node_does_not_know_are_left_out(custom_voice):
    assert custom_voice.fit({**VALUES, "sparkle": 11}) == VALUES


@pytest.mark.parametrize(
    ("declared", "default"),
    [
        (["STRING", {"default": "calm"}], "calm"),
        (["INT", {"default": 0, "min": 0}], 0),
        (["BOOLEAN", {"default": False}], False),
        ([["x", "y"]], "x"),
        ([["x", "y"], {"default": "y"}], "y"),
        (["COMBO", {"options": ["x", "y"]}], "x"),
        (["COMBO", {"options": ["x", "y"], "default": "y"}], "y"),
    ],
)
def test_a_required_input_that_we_do_not_know_gets_the_servers_default(
    node_info, declared, default
):
    info = node_info("CustomVoice")
    info["input"]["required"]["mood"] = declared
    assert NodeSpec.read(CLASS, info).fit(VALUES) == {**VALUES, "mood": default}


@pytest.mark.parametrize(
    "declared", [["AUDIO"], ["AUDIO", {}], ["STRING", {"default": None}], [[]], [], None, "STRING"]
)
def test_a_required_input_without_a_default_is_an_error_that_names_it(node_info, declared):
    info = node_info("CustomVoice")
    info["input"]["required"]["mood"] = declared
    with pytest.raises(GenerationFailed, match="needs an input 'mood'") as caught:
        NodeSpec.read(CLASS, info).fit(VALUES)
    assert caught.value.node_type == CLASS
    assert "1.0.6" in caught.value.hint


def test_an_optional_input_that_we_do_not_know_is_left_alone(node_info):
    info = node_info("CustomVoice")
    info["input"]["optional"]["mood"] = ["AUDIO"]
    assert NodeSpec.read(CLASS, info).fit(VALUES) == VALUES


def test_a_node_that_is_not_there_is_reported_with_advice():
    error = missing_node_error(CLASS, [])
    assert f"no node {CLASS}." in error.message
    assert "Install the node pack ComfyUI-Qwen-TTS" in str(error)
    assert "has A, B, which have different nodes" in missing_node_error(CLASS, ["A", "B"]).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(json_values, st.booleans())
def test_any_declaration_can_be_read(declared, required):
    read = InputSpec.read("x", declared, required=required)
    assert (read.name, read.required) == ("x", required)


@given(
    st.dictionaries(st.sampled_from(["input", "python_module"]), json_values)
    | st.fixed_dictionaries(
        {"input": st.dictionaries(st.sampled_from(["required", "optional"]), json_values)}
    )
)
def test_any_entry_fits_or_is_an_error_of_ours(info):
    read = NodeSpec.read(CLASS, info)
    try:
        fitted = read.fit(VALUES)
    except (InvalidRequest, GenerationFailed):
        return
    assert set(fitted) <= set(read.inputs)


@pytest.mark.parametrize("class_type", ["CustomVoice", "VoiceClone", "Train"])
def test_a_node_as_measured_is_recognised(class_type, spec):
    assert describe_version(spec(class_type)) == "as in 1.0.6"


def test_a_node_that_differs_says_how(node_info):
    info = node_info("CustomVoice")
    info["input"]["required"]["mood"] = ["STRING"]
    del info["input"]["optional"]["config"]
    assert describe_version(NodeSpec.read(CLASS, info)) == "unlike 1.0.6: +mood -config"
