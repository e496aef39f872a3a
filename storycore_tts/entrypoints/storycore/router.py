"""The engine's ``/ai/tts`` over HTTP, and beside it all routes of ours, under one prefix."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from storycore_tts.entrypoints.http.app import create_router
from storycore_tts.entrypoints.http.disconnects import while_connected
from storycore_tts.entrypoints.http.problems import documented
from storycore_tts.entrypoints.http.security.keys import CurrentOwner, KeyedRoute
from storycore_tts.entrypoints.http.service import CurrentService, Service
from storycore_tts.entrypoints.storycore import lines
from storycore_tts.settings import QwenTTSConfig, load_config

_REFUSALS = documented(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)

PREFIX = "/api/video-editor"
"""Where the engine's ``VIDEO_EDITOR_ROUTER`` is."""


class TTSRequest(BaseModel):
    """A line, as the engine's own endpoint takes it."""

    text: str
    voice: str = Field(
        default="fr-FR-Denise", description="A voice, or an id such as fr-FR-Denise."
    )
    speed: Annotated[float, Field(ge=0.25, le=4)] = Field(
        default=1.0, description="2 is twice as fast."
    )
    pitch: Annotated[float, Field(ge=0.5, le=2)] = Field(
        default=1.0, description="2 is an octave up."
    )


class TTSResponse(BaseModel):
    """The engine's own answer; here the file is there when it comes."""

    job_id: str
    status: Literal["completed"] = "completed"
    audio_path: str


def create_editor_router(config: QwenTTSConfig | str | Path | None = None) -> APIRouter:
    """Return a router that goes before the engine's ``VIDEO_EDITOR_ROUTER`` and speaks.

    ``/api/video-editor/ai/tts`` answers as the engine's own endpoint does, with a file that holds
    speech; the file lies in ``tts.qwen.output_dir``. All routes of ``create_router`` are below
    ``/api/video-editor`` too. Of two routers with the same path the app takes the one that was
    included first.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        ConfigurationError: The settings are refused.
    """
    settings = config if isinstance(config, QwenTTSConfig) else load_config(config).config
    files = lines.folder(settings.output_dir)
    router = APIRouter(prefix=PREFIX)
    speaking = APIRouter(route_class=KeyedRoute, tags=["speech"])

    @speaking.post("/ai/tts", response_description="The file is there.", responses=_REFUSALS)
    async def text_to_speech(
        request: Request, body: TTSRequest, service: CurrentService, owner: CurrentOwner
    ) -> TTSResponse:
        """Speak a line into a file on this machine."""
        job_id = str(uuid4())
        target = files.reserve(None, stem=f"tts-{job_id}")
        await while_connected(request, _spoken(service, body, target))
        return TTSResponse(job_id=job_id, audio_path=str(target))

    router.include_router(create_router(settings))
    router.include_router(speaking)
    return router


async def _spoken(service: Service, body: TTSRequest, target: Path) -> None:
    form = lines.rendering(None, speed=body.speed, pitch=body.pitch)
    tts = service.studio.tts()
    voice_map = service.config.voice_map
    cast = lines.casting(service.config)
    asked = await lines.request_for(tts, voice_map, body.text, body.voice, cast=cast)
    outcome = await service.studio.speak(None, asked.request, form)
    await lines.written(target, outcome.audio)
