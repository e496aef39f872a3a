"""Checks for missing models and checkpoints, before and after a job."""

from __future__ import annotations

import logging

from storycore_tts.adapters.comfyui.protocol import BACKEND, failures, graphs
from storycore_tts.adapters.comfyui.protocol.installed import (
    MODEL_FOLDER,
    checkpoint_was_found,
    folders_of,
)
from storycore_tts.adapters.comfyui.protocol.messages import Graph
from storycore_tts.adapters.comfyui.protocol.nodes import NodeSpec
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import (
    BackendUnavailable,
    GenerationFailed,
    TTSError,
    UnknownSpeaker,
)
from storycore_tts.ports import Problem

_log = logging.getLogger(__name__)


async def missing_model(session: Session, model: str) -> str | None:
    """Describe what is missing of a model that the server will try to download; None if nothing.

    Args:
        session: The session.
        model: Repository of the model on the Hugging Face Hub.

    Raises:
        BackendUnavailable: The model is missing, and an earlier download has failed.
    """
    said = (await session.installed()).missing(model)
    if said is None:
        return None
    session.forget_installed()  # it may be installed by the next request
    if model in session.not_downloaded:
        raise failures.missing_model_error(said, model)
    log_event(_log, logging.WARNING, "model.missing", backend=BACKEND, model=model)
    return said


async def missing_models(session: Session) -> list[Problem]:
    """Return a problem for each missing model that the settings require.

    Args:
        session: The session.
    """
    session.forget_installed()
    try:
        installed = await session.installed()
    except TTSError as error:
        return [Problem(error.message, error.hint or "Check the log of the server.")]
    needed = (*graphs.models(session.config), graphs.TOKENIZER)
    return [
        Problem(
            f"{said} on the ComfyUI server.",
            "The node pack will download several gigabytes when the model is first used. To avoid "
            f"this: {failures.how_to_install(model)}",
        )
        for model in needed
        if (said := installed.missing(model)) is not None
    ]


async def why_it_failed(
    session: Session, error: TTSError, model: str, checkpoint: str | None
) -> TTSError:
    """Return a more specific error if a job failed because of a missing model or checkpoint.

    Args:
        session: The session.
        error: The error of the job.
        model: The stock model of the job.
        checkpoint: The checkpoint of the job, or None.
    """
    if isinstance(error, UnknownSpeaker):
        if checkpoint and checkpoint_was_found(await _log_of(session), checkpoint) is False:
            session.checkpoints[checkpoint] = False
            return failures.missing_checkpoint_error(checkpoint)
    elif isinstance(error, GenerationFailed) and checkpoint is None and _is_of_files(error):
        try:
            said = (await session.installed()).missing(model)
        except BackendUnavailable:
            return error
        if said is not None:
            session.forget_installed()
            session.not_downloaded.add(model)
            return failures.missing_model_error(said, model, error)
    return error


def _is_of_files(error: GenerationFailed) -> bool:
    """Return whether a node could not access files; transformers and the Hub raise these errors."""
    kind = error.exception_type or ""
    return error.hint is None and (kind == "OSError" or kind.startswith("huggingface_hub."))


async def check_checkpoint(session: Session, path: str) -> None:
    """Reject a checkpoint that is known not to be on the server.

    This can be checked only for folders below the models folder of the node pack.

    Args:
        session: The session.
        path: Folder of the checkpoint, as the server sees it.

    Raises:
        InvalidRequest: The checkpoint does not exist.
    """
    installed = await session.installed()
    roots = folders_of(await session.http.told("/internal/folder_paths"), MODEL_FOLDER)
    if installed.has_checkpoint(path, roots) is False:
        session.forget_installed()
        raise failures.missing_checkpoint_error(path)


async def spoke_with(session: Session, graph: Graph, spec: NodeSpec) -> bool:
    """Return whether a finished job verifiably used its checkpoint; False if that is unknown.

    If the folder is missing, the node pack uses the stock model. A speaker that the stock model
    does not have proves that the checkpoint was used; otherwise the server's log may show it.

    Args:
        session: The session.
        graph: The graph that was run.
        spec: The voice node.

    Raises:
        InvalidRequest: The stock model was used.
    """
    voice = graph[graphs.VOICE_ID]["inputs"]
    path = str(voice.get("custom_model_path") or "")
    speaker = str(voice.get("custom_speaker_name") or "").casefold()
    if not path or (speaker and speaker not in map(str.casefold, spec.choices("speaker"))):
        return True
    found = checkpoint_was_found(await _log_of(session), path)
    if found is not None:
        session.checkpoints[path] = found
    if session.checkpoints.get(path) is False:
        raise failures.missing_checkpoint_error(path)
    return session.checkpoints.get(path, False)


async def _log_of(session: Session) -> object:
    try:
        return await session.http.told("/internal/logs")
    except BackendUnavailable:  # the job is done, and its audio may still be available
        return None
