"""Access to backends for commands, without log lines."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from storycore_tts.entrypoints.cli.interrupts import run_async
from storycore_tts.errors import BackendUnavailable, TTSError, as_sentence

if TYPE_CHECKING:
    from storycore_tts.container import Container
    from storycore_tts.domain.requests import CloneRequest, SpeechRequest
    from storycore_tts.ports import BackendStatus
    from storycore_tts.settings import QwenTTSConfig

_CHECK_LOG = "Check the log of the backend."
_LAST_RESORT = "draft"


def container_of(config: QwenTTSConfig, *, debug: bool) -> Container:
    """Return a container that logs events in debug mode only.

    Args:
        config: The settings.
        debug: Whether to log events.
    """
    from storycore_tts.container import Container, logged
    from storycore_tts.domain.events import Listeners

    return Container(config=config, listeners=logged() if debug else Listeners())


async def status_of(name: str, config: QwenTTSConfig) -> BackendStatus:
    """Return the status of a backend; if its adapter fails, that is its problem.

    Args:
        name: Name of the backend.
        config: The settings.
    """
    from storycore_tts.container import make_adapter
    from storycore_tts.ports import BackendStatus, Problem

    try:
        adapter = make_adapter(name, config)
        try:
            return await adapter.status()
        finally:
            await adapter.aclose()
    except TTSError as error:
        problem = Problem(error.message, error.hint or _CHECK_LOG)
    except Exception as error:  # noqa: BLE001 - a bug of one adapter must not hide the others
        what = f"This is a bug of the adapter {name!r}: {type(error).__name__}: {error}."
        problem = Problem(what, "Report it to its authors.")
    return BackendStatus(name, reachable=False, problems=(problem,))


def with_draft_hint(
    error: BackendUnavailable, request: SpeechRequest | CloneRequest, config: QwenTTSConfig
) -> BackendUnavailable:
    """Return the error, with a note if the draft backend could generate the line instead.

    Args:
        error: The error of the configured backend.
        request: The request.
        config: The settings.
    """
    from storycore_tts.domain.requests import SpeechRequest

    would_do = isinstance(request, SpeechRequest) and request.checkpoint is None
    asked = (config.backend, *config.fallbacks_of(config.backend))
    if not would_do or _LAST_RESORT in asked or not run_async(_is_ready(config)):
        return error
    error = copy.copy(error)
    could = f"Available on this machine: {_LAST_RESORT} (use --backend {_LAST_RESORT})."
    error.message = f"{as_sentence(error.message)} {could}"
    error.args = (error.message,)
    return error


async def _is_ready(config: QwenTTSConfig) -> bool:
    return (await status_of(_LAST_RESORT, config)).reachable
