"""The backends, asked by commands: without log lines, and with word of what else would speak."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from storycore_tts.domain.errors import BackendUnavailable, TTSError
from storycore_tts.entrypoints.cli.interrupts import run_async

if TYPE_CHECKING:
    from storycore_tts.container import Container
    from storycore_tts.domain.requests import CloneRequest, SpeechRequest
    from storycore_tts.ports import BackendStatus
    from storycore_tts.settings import QwenTTSConfig

_LOOK_AT_ITS_LOG = "Look at the backend's own log."
_LAST_RESORT = "draft"


def container_of(config: QwenTTSConfig, *, debug: bool) -> Container:
    """Return a container whose events are log lines only in debug mode.

    Args:
        config: Settings in force.
        debug: Log them.
    """
    from storycore_tts.container import Container, logged
    from storycore_tts.domain.events import Listeners

    return Container(config=config, listeners=logged() if debug else Listeners())


async def status_of(name: str, config: QwenTTSConfig) -> BackendStatus:
    """Ask an adapter how it is; one that cannot even be made has a problem, like any other."""
    from storycore_tts.container import make_adapter
    from storycore_tts.ports import BackendStatus, Problem

    try:
        adapter = make_adapter(name, config)
    except TTSError as error:
        problem = Problem(error.message, error.hint or _LOOK_AT_ITS_LOG)
        return BackendStatus(name, reachable=False, problems=(problem,))
    try:
        return await adapter.status()
    finally:
        await adapter.aclose()


def with_those_that_are_ready(
    error: BackendUnavailable, request: SpeechRequest | CloneRequest, config: QwenTTSConfig
) -> BackendUnavailable:
    """Add to an error that draft voices would speak this line now, if they would.

    Args:
        error: Why the line was not spoken.
        request: The line.
        config: Settings in force.
    """
    from storycore_tts.domain.requests import SpeechRequest

    would_do = isinstance(request, SpeechRequest) and request.checkpoint is None
    asked = (config.backend, *config.fallbacks_of(config.backend))
    if not would_do or _LAST_RESORT in asked or not run_async(_is_ready(config)):
        return error
    error = copy.copy(error)
    error.message += f" Ready on this machine: {_LAST_RESORT} (add --backend {_LAST_RESORT})."
    error.args = (error.message,)
    return error


async def _is_ready(config: QwenTTSConfig) -> bool:
    return (await status_of(_LAST_RESORT, config)).reachable
