"""Assembles the routes, as an app or as a router for another app."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response, params
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from storycore_tts.__about__ import __version__
from storycore_tts.container import live_settings
from storycore_tts.entrypoints.http import (
    consent,
    inspection,
    jobs,
    openai,
    page,
    problems,
    speech,
    status,
)
from storycore_tts.entrypoints.http.documented import documented
from storycore_tts.entrypoints.http.security.bugs import Bugs
from storycore_tts.entrypoints.http.security.exposure import check_exposure
from storycore_tts.entrypoints.http.security.guard import Guard, origin_pattern
from storycore_tts.entrypoints.http.security.keys import ANONYMOUS, authenticate
from storycore_tts.entrypoints.http.security.prefix import Prefix
from storycore_tts.entrypoints.http.service import FIXED, OnDemand, lifespan_of
from storycore_tts.live_settings import LiveSettings, Source
from storycore_tts.settings import QwenTTSConfig

_ABOUT = """Speech, voice cloning and training with Qwen3-TTS, directly or as durable jobs.

Errors are problem documents (RFC 9457)."""

_INVALID: dict[int | str, dict[str, Any]] = {422: documented(HTTPStatus.UNPROCESSABLE_ENTITY)[422]}
"""Replaces FastAPI's own validation error in the documentation, which no route returns."""


def create_router(config: QwenTTSConfig | str | Path | None = None) -> APIRouter:
    """Return all routes, for inclusion in an app under any prefix.

    Their resources are opened and closed with the app's lifespan. Authentication is up to the app,
    unless API keys are configured: then every request must send one.

    Args:
        config: Settings, the path of a YAML file, or None for the default locations.

    Raises:
        ConfigurationError: The settings are invalid.
    """
    return _routes(live_settings(config, fixed=FIXED))


def _routes(settings: LiveSettings) -> APIRouter:
    router = APIRouter(lifespan=lifespan_of(settings), responses=_INVALID)
    for part in (
        speech.router,
        speech.references,
        jobs.router,
        inspection.router,
        status.voices,
        consent.router,
        status.router,
        openai.router,
    ):
        router.include_router(part)
    return router


def create_embedded_router(
    config: Source = None, *, prefix: str = "", dependencies: Sequence[params.Depends] = ()
) -> APIRouter:
    """Return the routes for speech, cloning, training, voices and jobs.

    Settings are read and resources are opened at the first request. See ``OnDemand``.

    Args:
        config: Settings, the path of a YAML file, or None for the default locations.
        prefix: Path prefix of these routes; routes included later are not affected.
        dependencies: Dependencies that authenticate requests, instead of the configured API keys.
    """
    on_demand = OnDemand(config)

    async def provide(request: Request) -> None:
        service = request.state.storycore_tts = await on_demand.service()
        request.state.storycore_tts_owner = ANONYMOUS
        if not dependencies:
            await authenticate(request, service)

    router = APIRouter(
        lifespan=on_demand.lifespan,
        dependencies=[*dependencies, Depends(provide)],
        responses=_INVALID | documented(HTTPStatus.SERVICE_UNAVAILABLE),
    )
    for part in (speech.router, jobs.router, status.voices):
        router.include_router(part, prefix=prefix)
    return router


def create_app(config: QwenTTSConfig | str | Path | None = None) -> FastAPI:
    """Return the service as an app, with the web page at ``/`` and all security middleware.

    Args:
        config: Settings, the path of a YAML file, or None for the default locations.

    Raises:
        ConfigurationError: The settings are invalid, or expose the service to other machines
            without API keys.
    """
    return app_of(live_settings(config, fixed=FIXED))


def app_of(settings: LiveSettings) -> FastAPI:
    """Return the app for existing live settings; see ``create_app``."""
    server = settings.config.server
    check_exposure(server)
    app = FastAPI(
        title="storycore-tts",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # a redirect may lose a proxy's prefix or the body
    )
    app.include_router(_routes(settings))
    app.include_router(page.router)
    app.add_middleware(Bugs)  # innermost, so that its responses pass through the others
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=origin_pattern(server.allowed_origins).pattern,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],  # OpenAI's client sends a dozen of its own; cookies are not allowed
        expose_headers=["*"],
    )
    app.add_middleware(Prefix, settings=server)
    app.add_middleware(Guard, settings=server)
    for kind in problems.EXPECTED:
        app.add_exception_handler(kind, _explained)
    return app


def _explained(request: Request, error: Exception) -> Response:
    """Handle errors outside of our routes, such as unknown paths."""
    answer = problems.answer(error)
    if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    """Return the allowed methods of a path, from all of its routes."""
    return [
        method
        for method in ("DELETE", "GET", "POST")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
