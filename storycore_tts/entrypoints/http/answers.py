"""What is sent back: sound files, and jobs."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from storycore_tts.domain.jobs import JSON, Job
from storycore_tts.entrypoints.http.schemas import JobView

PREFIX = "/ai/tts/qwen"

AUDIO: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sound file. `Speech-…` headers tell how it was made; one that is sent "
        "while it is made has no `Speech-Duration`.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in (
                "audio/wav",
                "audio/flac",
                "audio/mpeg",
                "audio/ogg",
                "audio/aac",
                "audio/pcm",
            )
        },
        "headers": {
            "Speech-Duration": {"schema": {"type": "number"}, "description": "Seconds."},
            "Speech-Sample-Rate": {"schema": {"type": "integer"}, "description": "Hz."},
            "Speech-Seed": {"schema": {"type": "integer"}},
            "Speech-Backend": {"schema": {"type": "string"}},
            "Speech-Model": {"schema": {"type": "string"}},
            "Speech-Warnings": {"schema": {"type": "string"}, "description": "A JSON list."},
        },
    }
}

_TOLD = {
    "duration": "Speech-Duration",
    "sample_rate": "Speech-Sample-Rate",
    "seed": "Speech-Seed",
    "backend": "Speech-Backend",
    "model": "Speech-Model",
}


def jobs_path(request: Request) -> str:
    """Return where the jobs are, whatever the router is mounted under."""
    path: str = request.url.path
    return f"{path.partition(PREFIX)[0]}{PREFIX}/jobs"


def job_answer(request: Request, job: Job, status: HTTPStatus) -> Response:
    """Show a job; with 202, tell also where it will be."""
    view = JobView.of(job, jobs_path(request))
    headers = {"Location": view.links.self} if status == HTTPStatus.ACCEPTED else {}
    return JSONResponse(view.model_dump(mode="json"), status, headers)


def audio_answer(audio: bytes, media_type: str, facts: JSON) -> Response:
    """Send a sound file, and in headers what is told of it."""
    return Response(audio, media_type=media_type, headers=told(facts))


def told(facts: JSON) -> dict[str, str]:
    """Return the headers that tell of speech; what is not known is left out."""
    headers = {
        header: _in_ascii(facts[name])
        for name, header in _TOLD.items()
        if facts.get(name) not in (None, "")
    }
    if facts.get("warnings"):
        headers["Speech-Warnings"] = json.dumps(facts["warnings"])
    return headers


def _in_ascii(value: object) -> str:
    """Header values are ASCII, and a model's name need not be."""
    return str(value).encode("ascii", "backslashreplace").decode()
