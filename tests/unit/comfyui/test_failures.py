"""ComfyUI's complaints as errors of ours, with its own words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storycore_tts.adapters.comfyui.protocol.failures import (
    execution_error,
    node_errors_error,
    refused_prompt_error,
    stopped_error,
)
from storycore_tts.adapters.comfyui.protocol.messages import Failed
from storycore_tts.domain.requests import SpeechRequest, TrainingRequest
from storycore_tts.errors import (
    GenerationFailed,
    InvalidDataset,
    InvalidRequest,
    JobCancelled,
    NodePackMissing,
    OutOfMemory,
    TTSError,
    UnknownSpeaker,
    UnsupportedLanguage,
)

VOICE, CLONE, TRAIN = (f"FB_Qwen3TTS{name}" for name in ("CustomVoice", "VoiceClone", "Train"))
GRAPH = {
    "voice": {"class_type": VOICE, "inputs": {}},
    "output": {"class_type": "SaveAudio", "inputs": {}},
}
BUILT_IN = SpeechRequest("Hello.", "Ryan")
FINE_TUNED = SpeechRequest("Hello.", "Mia", checkpoint="/models/mia")
TRAINING = TrainingRequest("/data/mia", "/data/out", "mia")


def body(kind, message, details="", node_errors=None):
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return {"error": error, "node_errors": node_errors or {}}


def node_error(kind, message, details, input_name=None, node_type=VOICE):
    extra = {"input_name": input_name} if input_name else {}
    error = {"type": kind, "message": message, "details": details, "extra_info": extra}
    return {"1": {"errors": [error], "dependent_outputs": ["2"], "class_type": node_type}}


VALUES = [
    (
        "value_not_in_list",
        "Value not in list",
        "speaker: 'Emily' not in ['Aiden', 'Dylan', 'Ryan']",
        "speaker",
        UnknownSpeaker,
    ),
    (
        "value_not_in_list",
        "Value not in list",
        "language: 'en' not in ['Auto', 'Chinese', 'English']",
        "language",
        UnsupportedLanguage,
    ),
    (
        "value_not_in_list",
        "Value not in list",
        "device: 'cuda:0' not in ['auto', 'cuda', 'mps', 'cpu']",
        "device",
        InvalidRequest,
    ),
    (
        "value_smaller_than_min",
        "Value 100 smaller than min of 512",
        "max_new_tokens",
        "max_new_tokens",
        InvalidRequest,
    ),
    (
        "value_bigger_than_max",
        "Value 18446744073709551616 bigger than max of 18446744073709551615",
        "seed",
        "seed",
        InvalidRequest,
    ),
]


@pytest.mark.parametrize(("kind", "message", "details", "name", "error"), VALUES)
def test_a_refused_value_is_an_invalid_request_in_comfyuis_words(
    kind, message, details, name, error
):
    refused = body(
        "prompt_outputs_failed_validation",
        "Prompt outputs failed validation",
        node_errors=node_error(kind, message, details, name),
    )
    said = refused_prompt_error(refused, GRAPH)
    assert type(said) is error
    assert said.message == f"The node {VOICE} rejected a value: {message}: {details}"
    assert (said.backend, said.retryable) == ("comfyui", False)


@pytest.mark.parametrize(
    ("kind", "message", "details", "node_type"),
    [
        ("required_input_missing", "Required input is missing", "text", VOICE),
        (
            "invalid_input_type",
            "Failed to convert an input value to a INT value",
            "max_new_tokens, abc, invalid literal for int() with base 10: 'abc'",
            VOICE,
        ),
        ("exception_during_validation", "Exception when validating node", "'7'", "SaveAudio"),
        (
            "exception_during_inner_validation",
            "Exception when validating inner node",
            "tuple index out of range",
            VOICE,
        ),
        (
            "custom_validation_failed",
            "Custom validation failed for node",
            "audio - Invalid audio file: storycore_tts/a.wav",
            "LoadAudio",
        ),
        ("return_type_mismatch", "Return type mismatch between linked nodes", "audio", "SaveAudio"),
    ],
)
def test_another_complaint_about_a_node_is_a_failure_with_node_and_type(
    kind, message, details, node_type
):
    said = node_errors_error(node_error(kind, message, details, node_type=node_type))
    assert type(said) is GenerationFailed
    assert f"{message}: {details}" in said.message
    assert (said.node_type, said.node_id, said.exception_type) == (node_type, "1", kind)
    assert "doctor" in said.hint


@pytest.mark.parametrize(
    ("kind", "message", "details"),
    [
        (
            "invalid_prompt",
            f"Cannot execute because node {VOICE} does not exist.",
            "Node ID '#voice'",
        ),
        (
            "missing_node_type",
            f"Node '{VOICE}' not found. The custom node may not be installed.",
            "",
        ),
        ("missing_node_type", "Something else", ""),
    ],
)
def test_a_missing_node_is_a_missing_pack(kind, message, details):
    said = refused_prompt_error(body(kind, message, details), GRAPH)
    assert type(said) is NodePackMissing
    assert message in said.message
    assert f"{VOICE}, SaveAudio" in said.hint
    assert "ComfyUI-Qwen-TTS" in said.hint


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (body("prompt_no_outputs", "Prompt has no outputs"), "Prompt has no outputs"),
        (
            body(
                "invalid_prompt",
                "Cannot execute because a node is missing the class_type property.",
            ),
            "missing the class_type",
        ),
        (body("invalid_prompt_id", "prompt_id must be a UUID", "x"), "must be a UUID: x"),
        ({"error": "Bad thing"}, "Bad thing"),
        ({"error": None}, "no reason given"),
        ({}, "no reason given"),
        ({"error": {}, "node_errors": None}, "no reason given"),
    ],
)
def test_any_other_refusal_is_a_failure_in_comfyuis_words(refused, said):
    error = refused_prompt_error(refused, GRAPH)
    assert type(error) is GenerationFailed
    assert error.message.startswith("ComfyUI rejected the workflow: ")
    assert said in error.message


FAILURES = [
    (VOICE, "RuntimeError", "Text is required", BUILT_IN, GenerationFailed, None),
    (VOICE, "RuntimeError", "Invalid audio data generated", BUILT_IN, GenerationFailed, None),
    (CLONE, "RuntimeError", "Unsupported reference audio format", None, GenerationFailed, None),
    (
        CLONE,
        "RuntimeError",
        "Generation failed: ref_text is required when x_vector_only_mode=False (ICL mode).",
        None,
        GenerationFailed,
        None,
    ),
    (
        VOICE,
        "OSError",
        "We couldn't connect to 'https://huggingface.co' to load the files",
        BUILT_IN,
        GenerationFailed,
        None,
    ),
    (
        VOICE,
        "AssertionError",
        "Torch not compiled with CUDA enabled",
        BUILT_IN,
        GenerationFailed,
        "tts.qwen.device",
    ),
    (
        TRAIN,
        "AssertionError",
        "Torch not compiled with CUDA enabled",
        TRAINING,
        GenerationFailed,
        "requires a CUDA GPU",
    ),
    (
        VOICE,
        "RuntimeError",
        "Found no NVIDIA driver on your system.",
        BUILT_IN,
        GenerationFailed,
        "tts.qwen.device",
    ),
    (
        "SaveAudio",
        "OSError",
        "[Errno 28] No space left on device",
        BUILT_IN,
        GenerationFailed,
        "free some space",
    ),
    (
        VOICE,
        "torch.OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        BUILT_IN,
        OutOfMemory,
        "0.6B",
    ),
    (VOICE, "OutOfMemoryError", "Allocation on device", BUILT_IN, OutOfMemory, "0.6B"),
    (TRAIN, "OutOfMemoryError", "Allocation on device", TRAINING, OutOfMemory, "batch_size"),
    (
        TRAIN,
        "RuntimeError",
        "The size of tensor a (2048) must match the size of tensor b (1024) at non-singleton "
        "dimension 2",
        TRAINING,
        GenerationFailed,
        "use 1.7B",
    ),
    (VOICE, "RuntimeError", "MPS backend out of memory", BUILT_IN, OutOfMemory, "0.6B"),
    (
        VOICE,
        "RuntimeError",
        "Unsupported speakers: ['ryan']. Supported: []",
        BUILT_IN,
        UnknownSpeaker,
        None,
    ),
    (
        VOICE,
        "RuntimeError",
        "Unsupported speakers: ['mia']. Supported: ['ryan']",
        FINE_TUNED,
        UnknownSpeaker,
        "/models/mia does not exist",
    ),
    (
        TRAIN,
        "ValueError",
        "Audio folder not found: /nope",
        TRAINING,
        InvalidDataset,
        "a folder on the server",
    ),
    (
        TRAIN,
        "ValueError",
        "No valid audio/txt pairs found in folder.",
        TRAINING,
        InvalidDataset,
        ".txt",
    ),
]


@pytest.mark.parametrize(("node", "exception", "message", "request_", "error", "hint"), FAILURES)
def test_what_a_node_raised_becomes_an_error_with_its_words(
    node, exception, message, request_, error, hint
):
    said = execution_error(Failed("1", node, exception, message), request=request_)
    assert type(said) is error
    assert said.message == (f"The node {node} failed on the ComfyUI server: {exception}: {message}")
    assert hint in said.hint if hint else said.hint is None
    assert said.backend == "comfyui"
    if isinstance(said, GenerationFailed):
        assert (said.node_type, said.node_id, said.exception_type) == (node, "1", exception)


def test_an_unsupported_speaker_in_a_training_is_no_speaker_of_the_caller():
    failed = Failed("1", TRAIN, "RuntimeError", "Unsupported speakers: ['x']")
    assert type(execution_error(failed, request=TRAINING)) is GenerationFailed


@pytest.mark.parametrize("failed", [Failed("", "", "", ""), Failed("", "", "", "No reason")])
def test_a_failure_without_details_is_still_a_failure(failed):
    said = execution_error(failed, request=BUILT_IN)
    assert type(said) is GenerationFailed
    assert failed.message in said.message


def test_an_interruption_is_a_cancelled_job():
    said = stopped_error(ran=True)
    assert type(said) is JobCancelled
    assert (said.backend, said.retryable) == ("comfyui", False)
    assert "another client" in said.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["error", "node_errors", "x"]), json_values))
def test_any_refusal_can_be_read(refused):
    assert isinstance(refused_prompt_error(refused, GRAPH), TTSError)


@given(
    st.dictionaries(st.text(), json_values, min_size=1)
    | st.fixed_dictionaries({"1": st.fixed_dictionaries({"errors": json_values})})
    | json_values.map(lambda error: {"1": {"errors": [error]}})
)
def test_any_node_errors_can_be_read(node_errors):
    assert isinstance(node_errors_error(node_errors), TTSError)


@given(st.builds(Failed, st.text(), st.text(), st.text(), st.text()))
def test_any_failure_can_be_read(failed):
    said = execution_error(failed, request=FINE_TUNED)
    assert failed.message.strip(": ") in said.message
