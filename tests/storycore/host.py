"""A small app with what the engine's has: routes below our prefix, a token, and served files.

``HOST_SETTINGS`` in the environment names the settings of the one that uvicorn finds here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.staticfiles import StaticFiles

from storycore_tts import create_editor_router

PREFIX = "/api/video-editor"
TOKEN = {"Authorization": "Bearer the-host's-own"}

_bearer = HTTPBearer(auto_error=False)


async def verify_token(
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Let those in who have the host's token."""
    if given is None or given.credentials != "the-host's-own":
        raise HTTPException(401, "Not authenticated", headers={"WWW-Authenticate": "Bearer"})


TOKEN_NEEDED = (Depends(verify_token),)


def host(config=None, *, output=None, dependencies=TOKEN_NEEDED):
    """Return the app, with our router before its own, as a migration includes it."""
    app = FastAPI()

    @app.middleware("http")
    async def name_the_worker(request: Request, call_next):
        response = await call_next(request)
        response.headers["x-worker"] = str(os.getpid())
        return response

    @app.get("/health")
    async def health():
        return "the host's"

    theirs = APIRouter(prefix=PREFIX)

    @theirs.post("/ai/tts")
    async def placeholder():
        raise AssertionError("the placeholder was asked")

    @theirs.get("/health")
    @theirs.get("/metrics")
    @theirs.get("/ready")
    @theirs.get("/v1/models")
    @theirs.get("/projects/{name}")
    async def own(name: str = ""):
        return "the host's"

    app.include_router(create_editor_router(config, dependencies=dependencies))
    app.include_router(theirs)
    if output is not None:
        app.mount("/output", StaticFiles(directory=output), name="output")
    return app


if "HOST_SETTINGS" in os.environ:
    Path("output").mkdir(exist_ok=True)
    app = host(os.environ["HOST_SETTINGS"], output="output")
