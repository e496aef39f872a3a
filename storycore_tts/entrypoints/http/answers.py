"""Responses: sound files and jobs."""

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
        "description": "The sound file. `Speech-…` headers describe how it was made; streamed "
        "responses have no `Speech-Duration`.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in (
                "audio/wav",
                "audio/flac",
                "audio/mpeg",
                "audio/ogg",
                "audio/aac",
                "audio/mp4",
                "audio/pcm",
            )
        },
        "headers": {
            "Speech-Duration": {"schema": {"type": "number"}, "description": "Seconds."},
            "Speech-Sample-Rate": {"schema": {"type": "integer"}, "description": "Hz."},
            "Speech-Seed": {"schema": {"type": "integer"}},
            "Speech-Backend": {"schema": {"type": "string"}},
            "Speech-Model": {"schema": {"type": "string"}},
            "Speech-Source-Type": {
                "schema": {"type": "string"},
                "description": "IPTC's digital source type: trainedAlgorithmicMedia is speech of a "
                "model, algorithmicMedia that of a rule-based synthesizer.",
            },
            "Speech-Generator": {
                "schema": {"type": "string"},
                "description": "Program and version that made it.",
            },
            "Speech-Warnings": {"schema": {"type": "string"}, "description": "A JSON list."},
            "Speech-Disclosure": {
                "schema": {"type": "string"},
                "description": "The notice that the audio begins with, as JSON: text, seconds.",
            },
        },
    }
}

_HEADERS = {
    "duration": "Speech-Duration",
    "sample_rate": "Speech-Sample-Rate",
    "seed": "Speech-Seed",
    "backend": "Speech-Backend",
    "model": "Speech-Model",
    "source_type": "Speech-Source-Type",
    "generator": "Speech-Generator",
}


def jobs_path(request: Request) -> str:
    """Return the path of the jobs, including the prefix that the router is mounted under."""
    path: str = request.url.path
    return f"{path.partition(PREFIX)[0]}{PREFIX}/jobs"


def job_answer(request: Request, job: Job, status: HTTPStatus) -> Response:
    """Return a job as JSON; with status 202, add its ``Location``.

    Args:
        request: The request.
        job: The job.
        status: Status of the response.
    """
    view = JobView.of(job, jobs_path(request))
    headers = {"Location": view.links.self} if status == HTTPStatus.ACCEPTED else {}
    return JSONResponse(view.model_dump(mode="json"), status, headers)


def audio_answer(audio: bytes, media_type: str, facts: JSON) -> Response:
    """Return a sound file, with headers that describe it.

    Args:
        audio: The sound file.
        media_type: Its media type.
        facts: Metadata of the speech.
    """
    return Response(audio, media_type=media_type, headers=speech_headers(facts))


def speech_headers(facts: JSON) -> dict[str, str]:
    """Return the headers that describe speech, without those that are unknown.

    Args:
        facts: Metadata of the speech.
    """
    headers = {
        header: _in_ascii(facts[name])
        for name, header in _HEADERS.items()
        if facts.get(name) not in (None, "")
    }
    for name, header in (("warnings", "Speech-Warnings"), ("disclosure", "Speech-Disclosure")):
        if facts.get(name):
            headers[header] = json.dumps(facts[name])
    return headers


def _in_ascii(value: object) -> str:
    """Escape characters that are not ASCII, which header values must be."""
    return str(value).encode("ascii", "backslashreplace").decode()
