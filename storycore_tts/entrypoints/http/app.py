"""The routes put together: as a router for another's app, or as an app of its own."""

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
from storycore_tts.entrypoints.http import jobs, openai, page, problems, speech, status
from storycore_tts.entrypoints.http.documented import documented
from storycore_tts.entrypoints.http.security.bugs import Bugs
from storycore_tts.entrypoints.http.security.exposure import check_exposure
from storycore_tts.entrypoints.http.security.guard import Guard, origin_pattern
from storycore_tts.entrypoints.http.security.keys import ANYBODY, let_in
from storycore_tts.entrypoints.http.security.prefix import Prefix
from storycore_tts.entrypoints.http.service import FIXED, OnDemand, lifespan_of
from storycore_tts.live_settings import LiveSettings, Source
from storycore_tts.settings import QwenTTSConfig

_ABOUT = """Qwen3-TTS voices: speak, clone and train, at once or as jobs that survive a restart.

Errors are problem documents (RFC 9457)."""

_INVALID: dict[int | str, dict[str, Any]] = {422: documented(HTTPStatus.UNPROCESSABLE_ENTITY)[422]}
"""FastAPI would document errors of its own making, which no route of ours answers with."""


def create_router(config: QwenTTSConfig | str | Path | None = None) -> APIRouter:
    """Return all routes, to be included in an app under any prefix.

    The app's lifespan opens and closes what they need. Who may ask is the app's own affair, unless
    the settings hold keys: then each request must bring one.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        ConfigurationError: The settings are refused.
    """
    return _routes(live_settings(config, fixed=FIXED))


def _routes(settings: LiveSettings) -> APIRouter:
    router = APIRouter(lifespan=lifespan_of(settings), responses=_INVALID)
    for part in (
        speech.router,
        speech.references,
        jobs.router,
        status.voices,
        status.router,
        openai.router,
    ):
        router.include_router(part)
    return router


def create_embedded_router(
    config: Source = None, *, prefix: str = "", dependencies: Sequence[params.Depends] = ()
) -> APIRouter:
    """Return the routes that speak, clone, train, list voices and tell of jobs.

    Nothing is opened, and no setting read, before the first request. See ``OnDemand``.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.
        prefix: Of these routes; what is included in the router later keeps its own.
        dependencies: Decide who may ask, in place of the keys in the settings.
    """
    on_demand = OnDemand(config)

    async def provide(request: Request) -> None:
        service = request.state.storycore_tts = await on_demand.service()
        request.state.storycore_tts_owner = ANYBODY
        if not dependencies:
            await let_in(request, service)

    router = APIRouter(
        lifespan=on_demand.lifespan,
        dependencies=[*dependencies, Depends(provide)],
        responses=_INVALID | documented(HTTPStatus.SERVICE_UNAVAILABLE),
    )
    for part in (speech.router, jobs.router, status.voices):
        router.include_router(part, prefix=prefix)
    return router


def create_app(config: QwenTTSConfig | str | Path | None = None) -> FastAPI:
    """Return the service as an app of its own, with the page at ``/`` and all lines of defence.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        ConfigurationError: The settings are refused, or they open the service to other machines
            without a key.
    """
    return app_of(live_settings(config, fixed=FIXED))


def app_of(settings: LiveSettings) -> FastAPI:
    """Return the app for settings that are live already; see ``create_app``."""
    server = settings.config.server
    check_exposure(server)
    app = FastAPI(
        title="storycore-tts",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # a proxy's prefix, or the body, may get lost on the way
    )
    app.include_router(_routes(settings))
    app.include_router(page.router)
    app.add_middleware(Bugs)  # the innermost: its answers pass through the others
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=origin_pattern(server.allowed_origins).pattern,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],  # OpenAI's package sends a dozen of its own; cookies never come
        expose_headers=["*"],
    )
    app.add_middleware(Prefix, settings=server)
    app.add_middleware(Guard, settings=server)
    for kind in problems.EXPECTED:
        app.add_exception_handler(kind, _explained)
    return app


def _explained(request: Request, error: Exception) -> Response:
    """Answer errors of no route of ours, such as a path that does not exist."""
    answer = problems.answer(error)
    if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    """Return the methods of a path; several routes may have it, and the first one answered."""
    return [
        method
        for method in ("DELETE", "GET", "POST")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
