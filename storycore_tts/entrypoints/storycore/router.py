"""The engine's ``/ai/tts`` endpoint and those that its page uses, with our routes below them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response, params
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from storycore_tts.domain.jobs import JobNotFound, Outcome
from storycore_tts.entrypoints.http.answers import AUDIO, audio_answer
from storycore_tts.entrypoints.http.app import create_embedded_router
from storycore_tts.entrypoints.http.disconnects import while_connected
from storycore_tts.entrypoints.http.documented import OF_BACKENDS, documented
from storycore_tts.entrypoints.http.security.keys import CurrentOwner, KeyedRoute
from storycore_tts.entrypoints.http.service import CurrentService, Service
from storycore_tts.entrypoints.storycore import lines
from storycore_tts.services.output import AudioFolder, rendering, write_file
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.voicing import request_for
from storycore_tts.settings import QwenTTSConfig

PREFIX = "/api/video-editor"
"""Prefix of the engine's ``VIDEO_EDITOR_ROUTER``."""

_OF_SPEECH = documented(HTTPStatus.UNPROCESSABLE_ENTITY, *OF_BACKENDS)
_OF_A_FILE = documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)


class LineToSpeak(BaseModel):
    """A line, in the format of the engine's own endpoint."""

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


class SpokenLine(BaseModel):
    """A generated line; also the response of the poll."""

    job_id: str
    status: Literal["completed"] = "completed"
    audio_path: str = Field(description="Path of the file on the server.")
    audio_url: str = Field(description="URL of the file, as a path on the server.")
    duration: float = Field(description="Seconds.")
    backend: str = Field(description="Backend that was used, such as that of a fallback.")
    warnings: list[str] = Field(description="Warnings about the result.")


class PreviewRequest(BaseModel):
    """A preview of a voice, as the engine's page requests it."""

    voiceId: str = Field(description="A voice, or an id such as fr-FR-Denise.")  # noqa: N815
    text: str = "Bonjour, voici un exemple de cette voix."


def create_editor_router(
    config: QwenTTSConfig | str | Path | None = None,
    *,
    dependencies: Sequence[params.Depends] = (),
) -> APIRouter:
    """Return a router of the engine's speech endpoints; include it before ``VIDEO_EDITOR_ROUTER``.

    ``/api/video-editor/ai/tts`` responds like the engine's own endpoint, after the file is written
    to ``tts.qwen.output_dir`` or ``output/tts``. Below it are its poll and the routes for speech,
    cloning, training, speakers and jobs; ``/api/tts/preview`` is added as well. If two routers have
    the same path, the app uses the one included first.

    Nothing is read or opened before the first request. While the settings are invalid, requests
    fail with status 503.

    Args:
        config: Settings, the path of a YAML file, or None for the default locations.
        dependencies: Authentication dependencies, such as ``[Depends(verify_jwt_token)]``; they
            replace the API keys of the settings.
    """
    router = create_embedded_router(config, prefix=PREFIX, dependencies=dependencies)
    router.include_router(_twin)
    return router


@asynccontextmanager
async def _described(app: Any) -> AsyncIterator[None]:
    """Make the app's OpenAPI document describe our routes instead of others with the same path.

    Of two routes with the same path, FastAPI serves the first and documents the last.
    """
    theirs = app.openapi

    def openapi() -> dict[str, Any]:
        document: dict[str, Any] = theirs()
        ours = get_openapi(title="", version="", routes=_twin.routes)
        for path in ours["paths"].keys() & document["paths"].keys():
            document["paths"][path].update(ours["paths"][path])
        return document

    app.openapi = openapi
    try:
        yield
    finally:
        app.openapi = theirs


_twin = APIRouter(route_class=KeyedRoute, tags=["speech"], lifespan=_described)


@_twin.post(f"{PREFIX}/ai/tts", response_description="The file was written.", responses=_OF_SPEECH)
async def text_to_speech(
    request: Request, body: LineToSpeak, service: CurrentService, owner: CurrentOwner
) -> SpokenLine:
    """Generate a line and write it to a file on the server."""
    form = rendering(speed=body.speed, pitch=body.pitch)
    job_id = str(uuid4())
    target = await asyncio.to_thread(_reserved, _file(service, job_id))
    outcome = await _spoken(request, service, owner, body.text, body.voice, form)
    await asyncio.to_thread(write_file, target, outcome.audio)
    told = {name: outcome.facts[name] for name in ("duration", "backend", "warnings")}
    record = {"job_id": job_id, "audio_path": str(target), **told}
    record_file = target.with_suffix(".json")
    await asyncio.to_thread(write_file, record_file, json.dumps(record).encode())
    return await _answer(request, target, record)


@_twin.get(f"{PREFIX}/ai/tts/{{job_id}}", responses=_OF_A_FILE)
async def poll(
    request: Request, job_id: str, service: CurrentService, owner: CurrentOwner
) -> SpokenLine:
    """Return a generated line, whichever process of this service generated it."""
    file = _file(service, job_id)
    record = json.loads(await asyncio.to_thread(_kept, file.with_suffix(".json")))
    return await _answer(request, file, record)


@_twin.get(
    f"{PREFIX}/ai/tts/{{job_id}}/audio", response_class=Response, responses=AUDIO | _OF_A_FILE
)
async def sound(job_id: str, service: CurrentService, owner: CurrentOwner) -> Response:
    """Return the audio file of a generated line."""
    file = _file(service, job_id)
    await asyncio.to_thread(_kept, file.with_suffix(".json"))
    return FileResponse(file, media_type="audio/wav")


@_twin.post("/api/tts/preview", response_class=Response, responses=AUDIO | _OF_SPEECH)
async def preview(
    request: Request, body: PreviewRequest, service: CurrentService, owner: CurrentOwner
) -> Response:
    """Generate a line and return the audio."""
    outcome = await _spoken(request, service, owner, body.text, body.voiceId, rendering())
    return audio_answer(outcome.audio, outcome.media_type, outcome.facts)


async def _spoken(
    request: Request, service: Service, owner: str, text: str, voice: str, form: Rendering
) -> Outcome:
    tts, cast = service.speech.tts(), lines.casting(service.config)
    asked = await request_for(tts, text, voice, cast=cast, owner=service.finder(owner))
    outcome = await while_connected(request, service.speech.speak(None, asked.request, form))
    warnings = [*service.settings.warnings, *asked.notes, *outcome.facts["warnings"]]
    return replace(outcome, facts={**outcome.facts, "warnings": warnings})


def _file(service: Service, job_id: str) -> Path:
    """Return the path of the audio of a line; its metadata is stored next to it, as JSON.

    Raises:
        JobNotFound: The id is malformed.
    """
    try:
        name = str(UUID(job_id))
    except ValueError:
        raise JobNotFound("There is no such job.") from None
    return Path(service.config.output_dir or lines.OUTPUT).absolute() / f"tts-{name}.wav"


def _reserved(file: Path) -> Path:
    return AudioFolder(file.parent).reserve(file, stem="tts")


def _kept(record: Path) -> bytes:
    try:
        return record.read_bytes()
    except FileNotFoundError:
        raise JobNotFound(
            "There is no such job.", hint="Its files may have been removed from output_dir."
        ) from None


async def _answer(request: Request, file: Path, record: dict[str, Any]) -> SpokenLine:
    root = request.scope.get("root_path", "")
    served = await asyncio.to_thread(_served, request, file)
    url = served or f"{PREFIX}/ai/tts/{record['job_id']}/audio"
    return SpokenLine(**record, audio_url=f"{root}{url}")


def _served(request: Request, file: Path) -> str | None:
    """Return the URL path of a file that the app serves from a static folder, or None."""
    for route in request.app.routes:
        if isinstance(route, Mount) and isinstance(route.app, StaticFiles):
            for folder in map(Path, route.app.all_directories):
                with suppress(ValueError):  # outside this folder
                    inside = file.resolve().relative_to(folder.resolve())
                    return f"{route.path}/{quote(inside.as_posix())}"
    return None
