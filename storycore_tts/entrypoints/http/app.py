"""The routes put together: as a router for another's app, or as an app of its own."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from storycore_tts.__about__ import __version__
from storycore_tts.entrypoints.http import jobs, openai, page, problems, speech, status
from storycore_tts.entrypoints.http.problems import documented
from storycore_tts.entrypoints.http.security.bugs import Bugs
from storycore_tts.entrypoints.http.security.exposure import check_exposure
from storycore_tts.entrypoints.http.security.guard import Guard
from storycore_tts.entrypoints.http.service import lifespan_of
from storycore_tts.settings import QwenTTSConfig, load_config

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
    router = APIRouter(lifespan=lifespan_of(_settings(config)), responses=_INVALID)
    for part in (speech, jobs, status, openai):
        router.include_router(part.router)
    return router


def create_app(config: QwenTTSConfig | str | Path | None = None) -> FastAPI:
    """Return the service as an app of its own, with the page at ``/`` and all lines of defence.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        ConfigurationError: The settings are refused, or they open the service to other machines
            without a key.
    """
    settings = _settings(config)
    check_exposure(settings.server)
    app = FastAPI(
        title="storycore-tts",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.include_router(create_router(settings))
    app.include_router(page.router)
    app.add_middleware(Bugs)  # the innermost: its answers pass through the others
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.server.allowed_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Prefer", "Range"],
        expose_headers=["*"],
    )
    app.add_middleware(Guard, settings=settings.server)
    for kind in problems.EXPECTED:
        app.add_exception_handler(kind, _explained)
    return app


def _settings(config: QwenTTSConfig | str | Path | None) -> QwenTTSConfig:
    return config if isinstance(config, QwenTTSConfig) else load_config(config).config


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
