"""The web page; its files are served as they are, without a build step."""

from __future__ import annotations

import asyncio
from html import escape
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.exceptions import HTTPException

from storycore_tts.domain.parameters import Parameter, parameters_of
from storycore_tts.domain.sampling import SamplingParameters

_FOLDER = Path(__file__).parent
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Names from clients are looked up here and never used as paths.
_FILES = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES}

_FIELDS = "<!-- the parameters of sampling -->"
_ASK_AGAIN = {"Cache-Control": "no-cache"}  # each time: after an upgrade no old scripts run

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index() -> Response:
    """Return the page, with a field for each parameter of sampling."""
    page = await asyncio.to_thread(_FILES["index.html"].read_text, encoding="utf-8")
    inputs = "\n".join(map(_field, parameters_of(SamplingParameters)))
    return HTMLResponse(page.replace(_FIELDS, inputs), headers=_ASK_AGAIN)


@router.get("/page/{name}")
async def file(name: str) -> Response:
    """Return a file that the page needs."""
    return _file(name)


def _file(name: str) -> Response:
    if name not in _FILES:
        raise HTTPException(404, "There is no such file.")
    path = _FILES[name]
    return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers=_ASK_AGAIN)


def _field(parameter: Parameter) -> str:
    name, most = parameter.name, min(parameter.high, 2**53 - 1)  # JavaScript counts no further
    step = 1 if parameter.kind is int else "any"
    return (
        f'<div class="field"><label for="{name}">{name.replace("_", " ").capitalize()}</label>'
        f'<input type="number" id="{name}" name="{name}" min="{parameter.low}" max="{most}" '
        f'step="{step}" placeholder="{"random" if parameter.optional else "default"}" '
        f'title="{escape(parameter.help)}" data-parameter></div>'
    )
