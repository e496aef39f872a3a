"""What is asked of a server so that no job waits for a missing model, or speaks with another."""

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
from storycore_tts.domain.errors import (
    BackendUnavailable,
    GenerationFailed,
    TTSError,
    UnknownSpeaker,
)
from storycore_tts.domain.logs import log_event
from storycore_tts.ports import Problem

_log = logging.getLogger(__name__)


async def missing_model(session: Session, model: str) -> str | None:
    """Say what is missing of a model that the server will try to download; None: nothing.

    Raises:
        BackendUnavailable: It is missing, and the server could not download it before.
    """
    said = (await session.installed()).missing(model)
    if said is None:
        return None
    session.forget_installed()  # it may be there the next time
    if model in session.not_downloaded:
        raise failures.missing_model_error(said, model)
    log_event(_log, logging.WARNING, "model.missing", backend=BACKEND, model=model)
    return said


async def missing_models(session: Session) -> list[Problem]:
    """Return what is missing of the models that the settings need."""
    session.forget_installed()
    try:
        installed = await session.installed()
    except TTSError as error:
        return [Problem(error.message, error.hint or "Look at the server's log.")]
    needed = (*graphs.models(session.config), graphs.TOKENIZER)
    return [
        Problem(
            f"{said} of the ComfyUI server.",
            "The node pack downloads it when it is first needed, several gigabytes, and looks for "
            f"it nowhere else. {failures.how_to_install(model)}",
        )
        for model in needed
        if (said := installed.missing(model)) is not None
    ]


async def why_it_failed(
    session: Session, error: TTSError, model: str, checkpoint: str | None
) -> TTSError:
    """Return an error that names the missing model or checkpoint, if that is why a job failed."""
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
    """Tell whether a node could not get at files: transformers and the Hub raise nothing else."""
    kind = error.exception_type or ""
    return error.hint is None and (kind == "OSError" or kind.startswith("huggingface_hub."))


async def check_checkpoint(session: Session, path: str) -> None:
    """Refuse a checkpoint that is certainly not on the server.

    That can be told beforehand only of folders below the one in which the node pack looks for
    models.

    Raises:
        InvalidRequest: It is not there.
    """
    installed = await session.installed()
    roots = folders_of(await session.http.told("/internal/folder_paths"), MODEL_FOLDER)
    if installed.has_checkpoint(path, roots) is False:
        session.forget_installed()
        raise failures.missing_checkpoint_error(path)


async def spoke_with(session: Session, graph: Graph, spec: NodeSpec) -> bool:
    """Tell whether the checkpoint in a graph that ran has spoken; False: nothing says so.

    Where its folder is missing the node pack speaks with the stock model. A speaker whom the stock
    model does not know proves the checkpoint; otherwise the server's log may tell.

    Raises:
        InvalidRequest: The stock model spoke.
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
    except BackendUnavailable:  # the job is done: its audio may still be fetched
        return None
