"""Converts errors of ComfyUI to errors of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.graphs import TRAIN
from storycore_tts.adapters.comfyui.protocol.installed import MODEL_FOLDER
from storycore_tts.adapters.comfyui.protocol.messages import Failed, Graph, first, mapping
from storycore_tts.adapters.comfyui.protocol.nodes import NODE_PACK
from storycore_tts.domain.requests import SpeechRequest
from storycore_tts.errors import (
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

_VALUE_ERRORS = ("value_not_in_list", "value_smaller_than_min", "value_bigger_than_max")
_MORE_MEMORY = (
    "Free GPU memory on the server, use model_choice 0.6B, or set unload_model_after_generate."
)
_MORE_MEMORY_TO_TRAIN = (  # the node cannot train the 0.6B model
    "Free GPU memory on the server, use a smaller batch_size, or train on the direct backend, "
    "which supports the 0.6B model."
)
_TRANSFORMERS = "python -m pip install transformers==4.57.3"
_BY_INPUT: dict[str, type[InvalidRequest]] = {
    "speaker": UnknownSpeaker,
    "language": UnsupportedLanguage,
}


def refused_prompt_error(body: Mapping[str, Any], graph: Graph) -> TTSError:
    """Return the error for a 400 response to ``POST /prompt``."""
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
            f"ComfyUI rejected the workflow: {said}",
            hint=f"The workflow requires the nodes {classes}: install or update {NODE_PACK}.",
            backend=BACKEND,
        )
    return GenerationFailed(f"ComfyUI rejected the workflow: {said}", backend=BACKEND)


def node_errors_error(node_errors: Mapping[str, Any]) -> TTSError:
    """Return the error for the first of the ``node_errors`` in a response to ``POST /prompt``."""
    node_id, entry = next(iter(node_errors.items()))
    error = mapping(first(mapping(entry).get("errors")))
    node_type = str(mapping(entry).get("class_type") or "")
    said = _sentence(error.get("message"), error.get("details"))
    if error.get("type") in _VALUE_ERRORS:
        name = str(mapping(error.get("extra_info")).get("input_name"))
        kind = _BY_INPUT.get(name, InvalidRequest)
        return kind(f"The node {node_type} rejected a value: {said}", backend=BACKEND)
    return GenerationFailed(
        f"ComfyUI rejected the node {node_type} ({error.get('type')}): {said}",
        hint=f"Check that version 1.0.6 of {NODE_PACK} is installed; run storycore-tts doctor.",
        node_type=node_type,
        node_id=str(node_id),
        exception_type=str(error.get("type") or "") or None,
        backend=BACKEND,
    )


def execution_error(failed: Failed, *, request: object) -> TTSError:
    """Return the error for an exception of a node.

    Args:
        failed: The node, the exception's type and its message.
        request: The request, used to distinguish a wrong checkpoint from a wrong speaker.
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
    """Return the error for a job that another client stopped while it was running or queued."""
    said = (
        "The job was interrupted on the ComfyUI server by another client or in its web interface."
        if ran
        else "Another client deleted the job from the queue of the ComfyUI server."
    )
    return JobCancelled(said, hint="Retry if this was not intended.", backend=BACKEND)


def lost_error(reason: str) -> JobLost:
    """Return the error for an accepted job that the server no longer knows."""
    return JobLost(
        f"The ComfyUI server no longer knows the job: {reason}.",
        hint="Check the log of the server for the reason, and retry.",
        backend=BACKEND,
        retryable=False,
    )


def damaged_upload_error() -> BackendUnavailable:
    """Return the error for an uploaded recording that differs from the original."""
    return BackendUnavailable(
        "The reference recording was damaged during the upload to the ComfyUI server.",
        hint="Check any proxy between the client and the server.",
        backend=BACKEND,
    )


def missing_model_error(said: str, model: str, cause: TTSError | None = None) -> BackendUnavailable:
    """Return the error for a missing model that the server could not download.

    Args:
        said: Description of what is missing.
        model: Repository of the model on the Hugging Face Hub.
        cause: The error of the download, if it has just failed.
    """
    ended = f" {cause.message}" if cause else ""
    return BackendUnavailable(
        f"A model is missing on the ComfyUI server and could not be downloaded: {said}.{ended}",
        hint=how_to_install(model),
        backend=BACKEND,
        retryable=False,
    )


def how_to_install(model: str) -> str:
    """Return instructions for installing a model on the server."""
    name = model.rpartition("/")[2]
    return (
        f"Install it in ComfyUI/models/{MODEL_FOLDER}/{name} on the server, for example with: "
        f"hf download {model} --local-dir ComfyUI/models/{MODEL_FOLDER}/{name}"
    )


def missing_checkpoint_error(path: str) -> InvalidRequest:
    """Return the error for a missing checkpoint, instead of which the stock model is used."""
    return InvalidRequest(
        f"The checkpoint {path} does not exist on the ComfyUI server; the node pack would use the "
        "stock model instead.",
        hint="checkpoint must be the path of a folder on the server.",
        backend=BACKEND,
    )


def other_kind_error(prompt_id: str) -> InvalidRequest:
    """Return the error for a job id that is used by a different kind of job."""
    return InvalidRequest(
        f"The job {prompt_id} on the ComfyUI server is of another kind.",
        hint="Use a different job_id for each job.",
        backend=BACKEND,
    )


def timed_out_error(setting: str, seconds: float) -> BackendTimeout:
    """Return the error for an expired timeout of a job."""
    did = {"queue": "was queued", "idle": "sent no progress"}
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
    """Return the error for a server that became unreachable during a job."""
    return BackendUnavailable(
        "The ComfyUI server became unreachable during the job and did not recover within "
        f"{seconds:g} s. {last}",
        backend=BACKEND,
        retryable=False,
    )


def closed_error() -> BackendUnavailable:
    """Return the error for a job whose client was closed."""
    return BackendUnavailable(
        "The client was closed while the job was running.", backend=BACKEND, retryable=False
    )


def _kind_and_advice(
    node_type: str, said: str, request: object
) -> tuple[type[GenerationFailed | InvalidRequest], str | None]:
    """Return the error class and the hint for a message of a node, given in lower case."""
    trains = node_type == TRAIN
    if "outofmemory" in said or "out of memory" in said:
        return OutOfMemory, _MORE_MEMORY_TO_TRAIN if trains else _MORE_MEMORY
    if "unsupported speakers" in said and isinstance(request, SpeechRequest):
        return UnknownSpeaker, None if request.checkpoint is None else (
            f"Either the checkpoint has no speaker {request.speaker!r}, or its folder "
            f"{request.checkpoint} does not exist on the server; in that case the node pack "
            "silently uses the stock model."
        )
    if "audio folder not found" in said or "no valid audio/txt pairs" in said:
        return InvalidDataset, (
            "The dataset must be a folder on the server with recordings and, for each, a .txt file "
            "of the same name."
        )
    hint = None
    if "not compiled with cuda" in said or "no nvidia driver" in said:
        hint = (
            "The training node requires a CUDA GPU on the server."
            if trains
            else "The server has no CUDA: set tts.qwen.device to auto."
        )
    elif trains and "must match the size of tensor" in said:
        hint = (
            "The training node cannot train the 0.6B model: use 1.7B (the presets standard and "
            "quality), or the direct backend."
        )
    elif "no space left" in said:
        hint = "The disk of the server is full: free some space."
    elif "qwen3ttstalkerconfig" in said or "'qwen_tts' package failed to import" in said:
        hint = (
            "The node pack requires a different version of transformers. With the Python that runs "
            f"ComfyUI, run {_TRANSFORMERS}, and restart ComfyUI."
        )
    return GenerationFailed, hint


def _sentence(message: object, details: object) -> str:
    parts = [str(part).strip() for part in (message, details) if part]
    return ": ".join(parts) or "no reason given"
