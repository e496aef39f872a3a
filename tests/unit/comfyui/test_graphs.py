"""From a request to the graph that ComfyUI gets, exactly."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storycore_tts.adapters.comfyui.protocol import graphs as workflows
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import Sampling
from storycore_tts.errors import (
    GenerationFailed,
    InvalidRequest,
    UnknownSpeaker,
    UnsupportedLanguage,
)
from storycore_tts.settings import QwenTTSConfig

CONFIG = QwenTTSConfig()
REFERENCE = ReferenceAudio(np.full(24_000 * 4, 0.5, np.float32), transcript="Once upon a time.")

MODEL_AND_SAMPLING = {
    "model_choice": "1.7B",
    "device": "cuda",
    "precision": "bf16",
    "attention": "sdpa",
    "unload_model_after_generate": False,
    "seed": 7,
    "max_new_tokens": 512,
    "top_p": 0.8,
    "top_k": 20,
    "temperature": 1.0,
    "repetition_penalty": 1.05,
}
SHOWN = {"class_type": "PreviewAudio", "inputs": {"audio": ["voice", 0], "job": "job-1"}}


@pytest.fixture
def speak(spec):
    def speak(request, config=CONFIG, **changed):
        return workflows.custom_voice(
            request, config, spec("CustomVoice", **changed), seed=7, job="job-1"
        )

    return speak


@pytest.fixture
def clone(spec):
    def clone(request, config=CONFIG, **changed):
        return workflows.voice_clone(
            request,
            config,
            spec("VoiceClone", **changed),
            seed=7,
            job="job-1",
            uploaded="storycore_tts/abc.wav [temp]",
        )

    return clone


def test_the_graph_of_a_built_in_voice(speak):
    request = SpeechRequest("Hello there.", "uncle fu", language="en", instruct="Calm.")
    assert speak(request) == {
        "voice": {
            "class_type": "FB_Qwen3TTSCustomVoice",
            "inputs": {
                "text": "Hello there.",
                "speaker": "Uncle_fu",
                "instruct": "Calm.",
                "language": "English",
                **MODEL_AND_SAMPLING,
                "custom_model_path": "",
                "custom_speaker_name": "",
            },
        },
        "output": SHOWN,
    }


def test_the_graph_of_a_fine_tuned_voice(speak):
    graph = speak(SpeechRequest("Hello there.", "Mia", checkpoint="/models/mia/checkpoint-epoch-9"))
    assert graph == {
        "voice": {
            "class_type": "FB_Qwen3TTSCustomVoice",
            "inputs": {
                "text": "Hello there.",
                "speaker": "Aiden",
                "instruct": "",
                "language": "Auto",
                **MODEL_AND_SAMPLING,
                "custom_model_path": "/models/mia/checkpoint-epoch-9",
                "custom_speaker_name": "Mia",
            },
        },
        "output": SHOWN,
    }


@pytest.mark.parametrize(("only", "ref_text"), [(False, "Once upon a time."), (True, "")])
def test_the_graph_of_a_clone(clone, only, ref_text):
    request = CloneRequest("Hello there.", REFERENCE, x_vector_only=only, language="English")
    assert clone(request) == {
        "reference": {
            "class_type": "LoadAudio",
            "inputs": {"audio": "storycore_tts/abc.wav [temp]"},
        },
        "voice": {
            "class_type": "FB_Qwen3TTSVoiceClone",
            "inputs": {
                "target_text": "Hello there.",
                "language": "English",
                "ref_audio": ["reference", 0],
                "ref_text": ref_text,
                "x_vector_only": only,
                "custom_model_path": "",
                **MODEL_AND_SAMPLING,
            },
        },
        "output": SHOWN,
    }


def test_a_clone_with_a_model_of_its_own(clone):
    graph = clone(CloneRequest("Hello.", REFERENCE, checkpoint="/models/base"))
    assert graph["voice"]["inputs"]["custom_model_path"] == "/models/base"


def test_the_graph_of_a_training(spec):
    request = TrainingRequest(
        "/data/mia", "/data/out", "mia", language="en", model_choice="0.6B", num_epochs=3
    )
    assert workflows.training(request, spec("Train"), node_id="train-1") == {
        "train-1": {
            "class_type": "FB_Qwen3TTSTrain",
            "inputs": {
                "init_model": "Qwen/Qwen3-TTS-12Hz-0.6B-Base",
                "tokenizer": "Qwen/Qwen3-TTS-Tokenizer-12Hz",
                "audio_folder": "/data/mia",
                "output_dir": "/data/out",
                "speaker_name": "mia",
                "test_text": "Hello, this is a test of my new voice.",
                "language": "English",
                "learning_rate": 2e-5,
                "num_epochs": 3,
                "batch_size": 1,
                "gradient_accumulation_steps": 4,
                "validate_every": 2,
            },
        },
        "output": {"class_type": "PreviewAny", "inputs": {"source": ["train-1", 0]}},
    }


def test_training_refuses_the_languages_that_the_node_does_not_take(spec):
    request = TrainingRequest("/data/mia", "/data/out", "mia", language="French")
    with pytest.raises(UnsupportedLanguage, match="French") as caught:
        workflows.training(request, spec("Train"), node_id="train-1")
    assert caught.value.hint == "It takes: Auto, Chinese, English, Japanese, Korean."


@pytest.mark.parametrize(
    ("attention", "sent"), [("auto", "sdpa"), ("eager", "eager"), ("flash_attn", "flash_attn")]
)
def test_attention_auto_never_reaches_the_server(speak, clone, attention, sent):
    config = QwenTTSConfig(attention=attention)
    for graph in (
        speak(SpeechRequest("Hi.", "Ryan"), config),
        clone(CloneRequest("Hi.", REFERENCE), config),
    ):
        assert graph["voice"]["inputs"]["attention"] == sent


def test_the_settings_choose_the_model(speak):
    config = QwenTTSConfig(
        model_choice="0.6B", device="mps", precision="fp32", unload_model_after_generate=True
    )
    inputs = speak(SpeechRequest("Hi.", "Ryan"), config)["voice"]["inputs"]
    chosen = ("model_choice", "device", "precision", "unload_model_after_generate")
    assert [inputs[name] for name in chosen] == ["0.6B", "mps", "fp32", True]
    assert workflows.models(config) == (
        "Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice",
        "Qwen/Qwen3-TTS-12Hz-0.6B-Base",
    )


def test_no_job_is_answered_from_the_cache_of_another(spec):
    request, node = SpeechRequest("Hi.", "Ryan"), spec("CustomVoice")
    first, second = (
        workflows.custom_voice(request, CONFIG, node, seed=7, job=job)["output"]["inputs"]
        for job in ("a", "b")
    )
    assert first["job"] != second["job"]


def test_an_unknown_speaker_is_refused_with_the_servers_list(speak):
    with pytest.raises(UnknownSpeaker, match="Did you mean 'Mia'") as caught:
        speak(SpeechRequest("Hi.", "Miau"), speaker=[["Mia", "Tom"]])
    assert caught.value.hint == "Available speakers: Mia, Tom."


@pytest.mark.parametrize("text", ["Wait [break=2s] here.", "[[break=1]", "[break=0.5][break=9]"])
def test_pause_marks_of_the_pack_are_defused(speak, clone, text):
    spoken = speak(SpeechRequest(text, "Ryan"))["voice"]["inputs"]["text"]
    cloned = clone(CloneRequest(text, REFERENCE))["voice"]["inputs"]["target_text"]
    assert "[break=" not in spoken
    assert spoken == cloned == text.replace("[break=", "[break =")


@pytest.mark.parametrize(
    ("letters", "limit", "tokens"),
    [
        (10, 2048, 512),  # the node's least
        (10, 600, 512),
        (300, 2048, 1024),  # scaled to the text
        (300, 700, 700),  # the caller's limit
        (1000, 4096, 3584),
        (1200, 8192, 4096),  # the node's most
        (4900, 8192, 4096),
    ],
)
def test_the_token_budget_is_scaled_within_the_nodes_and_the_callers_limits(
    speak, clone, letters, limit, tokens
):
    text, sampling = "a" * letters, Sampling(max_new_tokens=limit)
    for graph in (
        speak(SpeechRequest(text, "Ryan", sampling=sampling)),
        clone(CloneRequest(text, REFERENCE, sampling=sampling)),
    ):
        assert graph["voice"]["inputs"]["max_new_tokens"] == tokens


def test_text_that_cannot_fit_into_the_nodes_most_is_refused(speak):
    request = SpeechRequest("a" * 9900, "Ryan", sampling=Sampling(max_new_tokens=8192))
    with pytest.raises(InvalidRequest, match=r"too long for one generation.*4096"):
        speak(request)


def test_a_limit_below_the_nodes_least_is_refused(speak):
    request = SpeechRequest("Hi.", "Ryan", sampling=Sampling(max_new_tokens=256))
    with pytest.raises(InvalidRequest, match=r"max_new_tokens is 256; .* takes 512 to 4096"):
        speak(request)


def test_a_node_without_limits_gets_the_scaled_budget(speak):
    request = SpeechRequest("a" * 1200, "Ryan", sampling=Sampling(max_new_tokens=8192))
    inputs = speak(request, max_new_tokens=["INT"])["voice"]["inputs"]
    assert inputs["max_new_tokens"] == request.token_budget == 4096
    assert "max_new_tokens" not in speak(request, max_new_tokens=None)["voice"]["inputs"]


@pytest.mark.parametrize(
    ("sampling", "name"),
    [
        (Sampling(temperature=0.05), "temperature"),
        (Sampling(temperature=3.0), "temperature"),
        (Sampling(top_k=500), "top_k"),
        (Sampling(repetition_penalty=0.9), "repetition_penalty"),
    ],
)
def test_sampling_that_this_node_does_not_take_is_refused(speak, sampling, name):
    with pytest.raises(InvalidRequest, match=f"{name} is .* FB_Qwen3TTSCustomVoice takes"):
        speak(SpeechRequest("Hi.", "Ryan", sampling=sampling))


@pytest.mark.parametrize("missing", ["custom_model_path", "custom_speaker_name"])
def test_a_node_that_would_speak_in_the_stock_voice_is_refused(speak, missing):
    with pytest.raises(GenerationFailed, match=f"has no input {missing}"):
        speak(SpeechRequest("Hi.", "Mia", checkpoint="/models/mia"), **{missing: None})
    assert missing not in speak(SpeechRequest("Hi.", "Ryan"), **{missing: None})["voice"]["inputs"]


@pytest.mark.parametrize("missing", ["ref_audio", "x_vector_only"])
def test_a_node_that_would_not_clone_is_refused(clone, missing):
    with pytest.raises(GenerationFailed, match=f"has no input {missing}"):
        clone(CloneRequest("Hi.", REFERENCE, x_vector_only=True), **{missing: None})


quick = settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quick
@given(st.text(min_size=1), st.text(min_size=1))
def test_any_text_makes_a_graph_that_json_carries(speak, clone, spec, text, name):
    try:
        graphs = [
            speak(SpeechRequest(text, name, checkpoint=name, instruct=text)),
            clone(CloneRequest(text, REFERENCE, checkpoint=name)),
            workflows.training(TrainingRequest(name, name, name, text), spec("Train"), node_id="t"),
        ]
    except InvalidRequest:
        return
    for graph in graphs:
        assert json.loads(json.dumps(graph, allow_nan=False).encode()) == graph
        links = [value for node in graph.values() for value in node["inputs"].values()]
        assert all(value[0] in graph for value in links if isinstance(value, list))


def test_what_the_node_on_this_server_lacks_is_named_if_it_was_set(spec):
    old = spec("CustomVoice", temperature=None, top_p=None, instruct=None)
    request = SpeechRequest("Hi.", "Ryan", instruct="warm", sampling=Sampling(temperature=0.5))
    here = "the node FB_Qwen3TTSCustomVoice on this server has no such input"
    assert workflows.lacking(request, old) == [
        f"comfyui ignores temperature: {here}",
        f"comfyui ignores instruct: {here}",
    ]
    assert workflows.lacking(SpeechRequest("Hi.", "Ryan"), old) == []
    assert workflows.lacking(request, spec("CustomVoice")) == []
    training = TrainingRequest("/data", "/out", "mia", validate_every=3)
    (named,) = workflows.lacking(training, spec("Train", validate_every=None))
    assert named.startswith("comfyui ignores validate_every: the node FB_Qwen3TTSTrain")
