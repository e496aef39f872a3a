"""Builds ComfyUI graphs from requests. Pure functions, one per generating or training node.

Every graph ends in an output node, because ComfyUI rejects graphs without one. Speech is saved as a
preview, in a folder that ComfyUI empties on startup, when it also loses its history.
"""

from __future__ import annotations

import re
from typing import Any

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.messages import Graph, Node
from storycore_tts.adapters.comfyui.protocol.nodes import NODE_PACK, NodeSpec
from storycore_tts.domain.parameters import ignored_parameters
from storycore_tts.domain.requests import CloneRequest, SpeechRequest, TrainingRequest
from storycore_tts.domain.sampling import SamplingParameters
from storycore_tts.domain.text import token_budget
from storycore_tts.domain.training import TrainingParameters
from storycore_tts.domain.voices import find_speaker
from storycore_tts.errors import GenerationFailed
from storycore_tts.settings import QwenTTSConfig

CUSTOM_VOICE = "FB_Qwen3TTSCustomVoice"
VOICE_CLONE = "FB_Qwen3TTSVoiceClone"
TRAIN = "FB_Qwen3TTSTrain"
SPEAKING_AND_TRAINING = (CUSTOM_VOICE, VOICE_CLONE, TRAIN)

# Request parameters; the node inputs have the same names.
SAMPLING = ("seed", "max_new_tokens", "top_p", "top_k", "temperature", "repetition_penalty")
TRAINING = (
    *("learning_rate", "num_epochs", "batch_size", "gradient_accumulation_steps"),
    "validate_every",
)

VOICE_ID, REFERENCE_ID, OUTPUT_ID = "voice", "reference", "output"  # node ids within a graph
FOLDER = "storycore_tts"  # for references, in ComfyUI's temp folder

# Without these, the node would speak in the wrong voice.
_NEVER_DROPPED = ("custom_model_path", "custom_speaker_name", "ref_audio", "x_vector_only")

# The pack replaces these marks with silence of any length. They are escaped so that they are plain
# text, as on every other backend.
_PAUSE_MARK = re.compile(r"\[break=")


def custom_voice(
    request: SpeechRequest, config: QwenTTSConfig, spec: NodeSpec, *, seed: int, job: str
) -> Graph:
    """Build the graph for a built-in or fine-tuned voice.

    Args:
        request: The text and the speaker.
        config: The model and the device.
        spec: The server's version of the node FB_Qwen3TTSCustomVoice.
        seed: 0..2**64−1.
        job: A unique name for the job.

    Raises:
        InvalidRequest: The server's node does not accept one of the values.
    """
    if request.checkpoint is None:
        speaker = find_speaker(request.speaker, spec.choices("speaker"), backend="comfyui")
        custom = {"custom_model_path": "", "custom_speaker_name": ""}
    else:
        # The node requires one of its own speakers even if it does not use it.
        speaker = next(iter(spec.choices("speaker")), request.speaker)
        custom = {
            "custom_model_path": request.checkpoint,
            "custom_speaker_name": request.speaker,
        }
    voice = {
        "text": _plain(request.text),
        "speaker": speaker,
        "instruct": request.instruct,
        "language": request.language,
        **_model(config),
        **_sampling(request, seed, spec),
        **custom,
    }
    return {VOICE_ID: _node(spec, voice), OUTPUT_ID: _preview_audio(VOICE_ID, job)}


def voice_clone(
    request: CloneRequest,
    config: QwenTTSConfig,
    spec: NodeSpec,
    *,
    seed: int,
    job: str,
    uploaded: str,
) -> Graph:
    """Build the graph for a cloned voice.

    Args:
        request: The text and how to clone the voice from the reference.
        config: The model and the device.
        spec: The server's version of the node FB_Qwen3TTSVoiceClone.
        seed: 0..2**64−1.
        job: A unique name for the job.
        uploaded: The reference in LoadAudio's notation ("subfolder/name [temp]").

    Raises:
        InvalidRequest: The server's node does not accept one of the values.
    """
    voice = {
        "target_text": _plain(request.text),
        "language": request.language,
        "ref_audio": [REFERENCE_ID, 0],
        "ref_text": "" if request.x_vector_only else request.reference.transcript or "",
        "x_vector_only": request.x_vector_only,
        "instruct": request.instruct,
        "custom_model_path": request.checkpoint or "",
        **_model(config),
        **_sampling(request, seed, spec),
    }
    return {
        REFERENCE_ID: {"class_type": "LoadAudio", "inputs": {"audio": uploaded}},
        VOICE_ID: _node(spec, voice),
        OUTPUT_ID: _preview_audio(VOICE_ID, job),
    }


def training(request: TrainingRequest, spec: NodeSpec, *, node_id: str) -> Graph:
    """Build the graph that trains a voice; PreviewAny adds the checkpoint's path to the history.

    Args:
        request: Dataset, voice and hyperparameters.
        spec: The server's version of the node FB_Qwen3TTSTrain.
        node_id: A unique id for the node: its broadcasts contain no other identifier.

    Raises:
        InvalidRequest: The server's node does not accept one of the values.
    """
    train = {
        "init_model": base_model(request.model_choice),
        "tokenizer": TOKENIZER,
        "audio_folder": request.dataset,
        "output_dir": request.output_dir,
        "speaker_name": request.speaker_name,
        "test_text": request.test_text,
        "language": request.language,
        **{name: getattr(request, name) for name in TRAINING},
    }
    preview = {"class_type": "PreviewAny", "inputs": {"source": [node_id, 0]}}
    return {node_id: _node(spec, train), OUTPUT_ID: preview}


def lacking(request: SpeechRequest | CloneRequest | TrainingRequest, spec: NodeSpec) -> list[str]:
    """Return a warning for each parameter of a request that this server's node has no input for.

    Parameters that no version of the node accepts are not included.
    """
    if isinstance(request, TrainingRequest):
        names = ignored_parameters(request, TrainingParameters, spec.inputs)
    else:
        names = ignored_parameters(request.sampling, SamplingParameters, spec.inputs)
        if isinstance(request, SpeechRequest) and request.instruct:
            names += {"instruct"} - spec.inputs.keys()
    known = {*SAMPLING, *TRAINING, "instruct"}
    here = f"the node {spec.class_type} on this server has no such input"
    return [f"{BACKEND} ignores {name}: {here}" for name in names if name in known]


def _node(spec: NodeSpec, inputs: dict[str, Any]) -> Node:
    for name in _NEVER_DROPPED:
        if inputs.get(name) and name not in spec.inputs:
            raise GenerationFailed(
                f"The node {spec.class_type} on this server has no input {name}, so it would use "
                "the wrong voice.",
                hint=f"Update {NODE_PACK} there to 1.0.6.",
                node_type=spec.class_type,
                backend=BACKEND,
            )
    return {"class_type": spec.class_type, "inputs": spec.fit(inputs)}


def _preview_audio(source: str, job: str) -> Node:
    # ComfyUI ignores unknown inputs. Without this one, it would answer a repeated graph from its
    # cache and name an old file, which may have been deleted.
    return {"class_type": "PreviewAudio", "inputs": {"audio": [source, 0], "job": job}}


def _model(config: QwenTTSConfig) -> dict[str, Any]:
    return {
        "model_choice": config.model_choice,
        "device": config.device,
        "precision": config.precision,
        # The pack compares "auto" with the resolved value, so it would reload on every run.
        "attention": "sdpa" if config.attention == "auto" else config.attention,
        "unload_model_after_generate": config.unload_model_after_generate,
    }


def _sampling(request: SpeechRequest | CloneRequest, seed: int, spec: NodeSpec) -> dict[str, Any]:
    sampling, budget = request.sampling, request.token_budget
    tokens = spec.inputs.get("max_new_tokens")
    if tokens is not None and budget < tokens.low <= sampling.max_new_tokens:
        budget = int(tokens.low)
    if tokens is not None and budget > tokens.high:
        budget = token_budget(request.text, limit=int(tokens.high))
    sent = {name: getattr(sampling, name) for name in SAMPLING}
    return {**sent, "seed": seed, "max_new_tokens": budget}


def _plain(text: str) -> str:
    return _PAUSE_MARK.sub("[break =", text)


def reload_model(graph: Graph) -> None:
    """Make the node reload its model: with "auto" it never reuses the loaded one."""
    voice = graph[VOICE_ID]["inputs"]
    if "attention" in voice:
        voice["attention"] = "auto"


def model_in_memory(graph: Graph) -> tuple[object, ...] | None:
    """Return the node pack's cache key for its loaded model; None if it keeps no model."""
    voice = graph[VOICE_ID]["inputs"]
    if voice.get("unload_model_after_generate") or voice.get("attention") == "auto":
        return None
    names = ("model_choice", "device", "precision", "attention", "custom_model_path")
    return (graph[VOICE_ID]["class_type"], *map(voice.get, names))


def models(config: QwenTTSConfig) -> tuple[str, ...]:
    """Return the names of the models that the server loads for these settings."""
    size = config.model_choice
    return (f"Qwen/Qwen3-TTS-12Hz-{size}-CustomVoice", base_model(size))


def base_model(size: str) -> str:
    """Return the name of the Base model of a size, which is used for cloning and training."""
    return f"Qwen/Qwen3-TTS-12Hz-{size}-Base"


TOKENIZER = "Qwen/Qwen3-TTS-Tokenizer-12Hz"  # needed by every model


_INPUTS_OF_1_0_6 = {
    "common": "model_choice device precision language seed max_new_tokens top_p top_k temperature "
    "repetition_penalty attention unload_model_after_generate custom_model_path config",
    CUSTOM_VOICE: "text speaker instruct custom_speaker_name",
    VOICE_CLONE: "target_text ref_audio ref_text voice_clone_prompt x_vector_only",
    TRAIN: "init_model tokenizer audio_folder output_dir speaker_name test_text language "
    "learning_rate num_epochs batch_size gradient_accumulation_steps validate_every",
}


def describe_version(spec: NodeSpec) -> str:
    """Describe how a node compares with the version that this package was tested against.

    The server reports no node versions, so the node's inputs are compared.
    """
    known = set(_INPUTS_OF_1_0_6[spec.class_type].split())
    if spec.class_type != TRAIN:
        known |= set(_INPUTS_OF_1_0_6["common"].split())
    there = set(spec.inputs)
    if there == known:
        return "as in 1.0.6"
    more = "".join(f" +{name}" for name in sorted(there - known))
    less = "".join(f" -{name}" for name in sorted(known - there))
    return f"unlike 1.0.6:{more}{less}"
