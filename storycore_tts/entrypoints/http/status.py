"""Status, health, readiness and metrics."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from storycore_tts.__about__ import __version__
from storycore_tts.domain.jobs import JobState
from storycore_tts.entrypoints.http.answers import PREFIX
from storycore_tts.entrypoints.http.documented import OF_BACKENDS, documented
from storycore_tts.entrypoints.http.problems import ProblemRoute
from storycore_tts.entrypoints.http.schemas import (
    BackendView,
    CapabilitiesView,
    JobCounts,
    Readiness,
    SpeakerList,
    SpeakerView,
    StatusView,
)
from storycore_tts.entrypoints.http.security.keys import CurrentOwner, KeyedRoute
from storycore_tts.entrypoints.http.service import CurrentService
from storycore_tts.services.speech_service import SpeechService

voices = APIRouter(tags=["status"], route_class=KeyedRoute)
ChosenBackend = Annotated[str | None, Query(description="Backend; default: the default one.")]

router = APIRouter(tags=["status"], route_class=KeyedRoute)
_open = APIRouter(route_class=ProblemRoute)
"""Routes without authentication, for load balancers."""

_OF_SPEAKERS = documented(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    *OF_BACKENDS,
)
_HEALTHY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The service is running.",
        "content": {"application/json": {"example": {"status": "ok"}}},
    }
}
_METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Metrics in Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@voices.get(f"{PREFIX}/speakers", response_description="The voices.", responses=_OF_SPEAKERS)
async def speakers(
    service: CurrentService, owner: CurrentOwner, backend: ChosenBackend = None
) -> SpeakerList:
    """List the available voices: those of the backend and stored ones."""
    tts = service.speech.tts(backend)
    built_in = [
        SpeakerView(
            name=one.name, kind="built-in", description=one.description, language=one.language
        )
        for one in await tts.speakers()
    ]
    stored = [
        SpeakerView(name=one.name, kind=one.kind, language=one.language or "")
        for one in await asyncio.to_thread(tts.voices.entries, owner=service.finder(owner))
        if one.kind is not None and not one.problem
    ]
    name = backend or service.speech.default_backend
    return SpeakerList(backend=name, default=tts.defaults.speaker, speakers=built_in + stored)


@router.get(
    f"{PREFIX}/status",
    response_description="The current status.",
    responses=documented(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def status(service: CurrentService, owner: CurrentOwner) -> StatusView:
    """Return the status of each backend and the number of jobs."""
    speech_service = service.speech
    counts = await (await speech_service.queue()).counts()
    return StatusView(
        version=__version__,
        usual=speech_service.default_backend,
        backends=await asyncio.gather(
            *(_backend(speech_service, name) for name in speech_service.backends)
        ),
        jobs=JobCounts(
            queued=counts.get(JobState.QUEUED, 0), running=counts.get(JobState.RUNNING, 0)
        ),
        authentication=bool(service.config.server.api_keys),
    )


@_open.get("/health", responses=_HEALTHY)
async def health() -> dict[str, str]:
    """Return whether the process is running; checks nothing else."""
    return {"status": "ok"}


@_open.get("/v1/test", include_in_schema=False)
async def test() -> dict[str, str]:
    """Confirm that voices can be listed under ``/v1``; used by wyoming-openai."""
    return {"status": "ok"}


@_open.get(
    "/ready",
    response_model=Readiness,
    response_description="A backend and the job database are available.",
    responses={503: {"model": Readiness, "description": "No backend or no database is available."}},
)
async def ready(service: CurrentService) -> Response:
    """Return whether any backend and the job database are available."""
    reachable, has_storage = await service.readiness.get()
    view = Readiness(ready=any(reachable.values()) and has_storage, backends=dict(reachable))
    code = HTTPStatus.OK if view.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(view.model_dump(), code)


@router.get("/metrics", response_class=Response, responses=_METRICS | documented())
async def metrics(service: CurrentService, owner: CurrentOwner) -> Response:
    """Return metrics for Prometheus."""
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return Response(generate_latest(service.registry), media_type=CONTENT_TYPE_LATEST)


async def _backend(speech_service: SpeechService, name: str) -> BackendView:
    tts, capacity = speech_service.backends[name], speech_service.capacities[name]
    found: dict[str, Any] = asdict(await tts.status())
    return BackendView(
        **{**found, "name": name, "details": dict(found["details"])},
        capabilities=CapabilitiesView.of(tts.capabilities),
        concurrency=capacity.concurrency,
        waiting=capacity.waiting,
    )


router.include_router(_open)
