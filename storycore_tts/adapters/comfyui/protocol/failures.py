"""ComfyUI's complaints turned into our errors, with its own message, node and exception type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.graphs import TRAIN
from storycore_tts.adapters.comfyui.protocol.installed import MODEL_FOLDER
from storycore_tts.adapters.comfyui.protocol.messages import Failed, Graph, first, mapping
from storycore_tts.adapters.comfyui.protocol.nodes import NODE_PACK
from storycore_tts.domain.errors import (
    BackendTimeout,
    BackendUnavailable,
    GenerationFailed,
    InvalidDataset,
    InvalidRequest,
    JobCancelled,
    JobLost,
    NodePackMissing,
    OutOfMemory,
    TTSError,
    UnknownSpeaker,
    UnsupportedLanguage,
)
from storycore_tts.domain.requests import SpeechRequest

_VALUE_ERRORS = ("value_not_in_list", "value_smaller_than_min", "value_bigger_than_max")
_MORE_MEMORY = (
    "Free GPU memory there, choose model_choice 0.6B, or set unload_model_after_generate."
)
_MORE_MEMORY_TO_TRAIN = (  # the node cannot train the smaller model
    "Free GPU memory there, train with a smaller batch_size, or on the direct backend, which can "
    "train the 0.6B model."
)
_TRANSFORMERS = "python -m pip install transformers==4.57.3"
_BY_INPUT: dict[str, type[InvalidRequest]] = {
    "speaker": UnknownSpeaker,
    "language": UnsupportedLanguage,
}


def refused_prompt_error(body: Mapping[str, Any], graph: Graph) -> TTSError:
    """Read the 400 that ``POST /prompt`` answers when validation fails."""
    node_errors = body.get("node_errors")
    if isinstance(node_errors, dict) and node_errors:
        return node_errors_error(node_errors)
    error = body.get("error")
    error = mapping(error) or {"message": error}
    said = _sentence(error.get("message"), error.get("details"))
    kind = error.get("type")
    missing = "does not exist" in said or "not found" in said
    if kind == "missing_node_type" or (kind == "invalid_prompt" and missing):
        classes = ", ".join(sorted({node["class_type"] for node in graph.values()}))
        return NodePackMissing(
            f"ComfyUI refuses the workflow: {said}",
            hint=f"It needs the nodes {classes}: install or update {NODE_PACK}.",
            backend=BACKEND,
        )
    return GenerationFailed(f"ComfyUI refuses the workflow: {said}", backend=BACKEND)


def node_errors_error(node_errors: Mapping[str, Any]) -> TTSError:
    """Read the ``node_errors`` of an answer to ``POST /prompt``: the first one, in full."""
    node_id, entry = next(iter(node_errors.items()))
    error = mapping(first(mapping(entry).get("errors")))
    node_type = str(mapping(entry).get("class_type") or "")
    said = _sentence(error.get("message"), error.get("details"))
    if error.get("type") in _VALUE_ERRORS:
        name = str(mapping(error.get("extra_info")).get("input_name"))
        kind = _BY_INPUT.get(name, InvalidRequest)
        return kind(f"The node {node_type} refuses a value: {said}", backend=BACKEND)
    return GenerationFailed(
        f"ComfyUI refuses the node {node_type} ({error.get('type')}): {said}",
        hint=f"Is {NODE_PACK} of another version than 1.0.6? Run storycore-tts doctor.",
        node_type=node_type,
        node_id=str(node_id),
        exception_type=str(error.get("type") or "") or None,
        backend=BACKEND,
    )


def execution_error(failed: Failed, *, request: object) -> TTSError:
    """Read what a node raised.

    Args:
        failed: The node, the exception's type and its message.
        request: What was asked for, to tell a wrong checkpoint from a wrong speaker.
    """
    said = f"{failed.exception_type}: {failed.message}".strip(": ")
    where = f"The node {failed.node_type} failed on the ComfyUI server: {said}"
    kind, hint = _kind_and_advice(failed.node_type, said.lower(), request)
    if not issubclass(kind, GenerationFailed):
        return kind(where, hint=hint, backend=BACKEND)
    return kind(
        where,
        hint=hint,
        node_type=failed.node_type,
        node_id=failed.node_id,
        exception_type=failed.exception_type,
        backend=BACKEND,
    )


def stopped_error(*, ran: bool) -> JobCancelled:
    """Say that another client stopped a job of ours: while it ran, or while it waited."""
    said = (
        "The job was interrupted on the ComfyUI server by another client or at its page."
        if ran
        else "Another client of the ComfyUI server deleted the job from its queue, or cleared it."
    )
    return JobCancelled(said, hint="Ask again if it was not meant to stop.", backend=BACKEND)


def lost_error(reason: str) -> JobLost:
    """Say that the server knows nothing of a job that it took."""
    return JobLost(
        f"The ComfyUI server no longer knows the job: {reason}.",
        hint="Look at the server's own log for what happened, and ask again.",
        backend=BACKEND,
        retryable=False,
    )


def damaged_upload_error() -> BackendUnavailable:
    """Say that the server has another recording than the one that we sent."""
    return BackendUnavailable(
        "The reference did not arrive at the ComfyUI server as it was sent.",
        hint="Look at what stands between it and you.",
        backend=BACKEND,
    )


def missing_model_error(said: str, model: str, cause: TTSError | None = None) -> BackendUnavailable:
    """Say that the server lacks a model, and could not download it.

    Args:
        said: What is missing.
        model: Its repository on the Hugging Face Hub.
        cause: How its download ended, just now.
    """
    ended = f" {cause.message}" if cause else ""
    return BackendUnavailable(
        f"The ComfyUI server lacks a model: {said}, and it could not download it.{ended}",
        hint=how_to_install(model),
        backend=BACKEND,
        retryable=False,
    )


def how_to_install(model: str) -> str:
    """Say how a model gets to where the node pack looks for it."""
    name = model.rpartition("/")[2]
    return (
        f"Put it into ComfyUI/models/{MODEL_FOLDER}/{name} on the server, for instance with: "
        f"hf download {model} --local-dir ComfyUI/models/{MODEL_FOLDER}/{name}"
    )


def missing_checkpoint_error(path: str) -> InvalidRequest:
    """Say that a checkpoint is not there; the stock model would speak, or has spoken."""
    return InvalidRequest(
        f"There is no checkpoint {path} on the ComfyUI server: the node pack would speak with the "
        "stock model.",
        hint="checkpoint is a folder on the server's own disk, as the server sees it.",
        backend=BACKEND,
    )


def other_kind_error(prompt_id: str) -> InvalidRequest:
    """Say that a job id is in use for something else."""
    return InvalidRequest(
        f"The job {prompt_id} on the ComfyUI server is of another kind.",
        hint="Give each job a job_id of its own.",
        backend=BACKEND,
    )


def timed_out_error(setting: str, seconds: float) -> BackendTimeout:
    """Say which wait for a job took too long."""
    did = {"queue": "waited behind other jobs", "idle": "gave no sign of life"}
    return BackendTimeout(
        f"The job on ComfyUI {did.get(setting, 'did not finish')} for {seconds:g} s and was "
        "withdrawn.",
        wait=setting,
        seconds=seconds,
        hint=f"The limit is tts.qwen.comfyui.timeouts.{setting}.",
        backend=BACKEND,
        retryable=False,
    )


def went_away_error(seconds: float, last: TTSError) -> BackendUnavailable:
    """Say that the server stopped answering with a job of ours under way."""
    return BackendUnavailable(
        "The ComfyUI server went away while the job was under way and did not come back within "
        f"{seconds:g} s. {last}",
        backend=BACKEND,
        retryable=False,
    )


def closed_error() -> BackendUnavailable:
    """Say that our own side hung up."""
    return BackendUnavailable("The client was closed in mid-job.", backend=BACKEND, retryable=False)


def _kind_and_advice(
    node_type: str, said: str, request: object
) -> tuple[type[GenerationFailed | InvalidRequest], str | None]:
    """Judge what a node of this type said, in lower case: which error it is, and what helps."""
    trains = node_type == TRAIN
    if "outofmemory" in said or "out of memory" in said:
        return OutOfMemory, _MORE_MEMORY_TO_TRAIN if trains else _MORE_MEMORY
    if "unsupported speakers" in said and isinstance(request, SpeechRequest):
        return UnknownSpeaker, None if request.checkpoint is None else (
            f"Either the checkpoint has no speaker {request.speaker!r}, or the folder "
            f"{request.checkpoint} does not exist on the server: the node pack then takes the "
            "stock model without a word."
        )
    if "audio folder not found" in said or "no valid audio/txt pairs" in said:
        return InvalidDataset, (
            "The dataset is a folder on the server's own disk: recordings, each with a .txt of "
            "the same name."
        )
    hint = None
    if "not compiled with cuda" in said or "no nvidia driver" in said:
        hint = (
            "The training node needs a CUDA GPU on that server."
            if trains
            else "That server has no CUDA: set tts.qwen.device to auto."
        )
    elif trains and "must match the size of tensor" in said:
        hint = (
            "The training node cannot train the 0.6B model: take 1.7B (the presets standard and "
            "quality), or the direct backend."
        )
    elif "no space left" in said:
        hint = "The server's disk is full: make room there."
    elif "qwen3ttstalkerconfig" in said or "'qwen_tts' package failed to import" in said:
        hint = (
            "ComfyUI's Python there has another version of transformers than the node pack needs: "
            f"{_TRANSFORMERS}, with the Python that runs ComfyUI, and restart it."
        )
    return GenerationFailed, hint


def _sentence(message: object, details: object) -> str:
    parts = [str(part).strip() for part in (message, details) if part]
    return ": ".join(parts) or "it gives no reason"
