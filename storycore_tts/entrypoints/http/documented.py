"""Problem responses in the OpenAPI document, with an example of each."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from storycore_tts import errors
from storycore_tts.domain import jobs
from storycore_tts.entrypoints.http.problems import MEDIA_TYPE, Problem, plain, problem_of
from storycore_tts.errors import TTSError

OF_RECORDINGS = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""Error statuses of routes that accept recordings."""

OF_BACKENDS = (
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Error statuses of routes that use a backend."""


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI responses for these statuses and those of every route.

    Args:
        *statuses: Error statuses of the route.
    """
    always = (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
    )
    return {
        int(status): {
            "description": _EXAMPLES[status].detail,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": _EXAMPLES[status].model_dump(exclude_none=True),
                }
            },
        }
        for status in (*always, *statuses)
    }


def _example(kind: type[TTSError], detail: str, hint: str | None = None) -> Problem:
    return problem_of(kind(detail, hint=hint))


_EXAMPLES = {
    HTTPStatus.BAD_REQUEST: plain(HTTPStatus.BAD_REQUEST, "The body is not valid JSON."),
    HTTPStatus.UNAUTHORIZED: plain(
        HTTPStatus.UNAUTHORIZED,
        "This service requires an API key.",
        "Send Authorization: Bearer KEY, with a key from the operator of the service.",
    ),
    HTTPStatus.FORBIDDEN: plain(HTTPStatus.FORBIDDEN, "Requests from this origin are not allowed."),
    HTTPStatus.NOT_FOUND: _example(jobs.JobNotFound, "There is no such job."),
    HTTPStatus.CONFLICT: _example(jobs.JobNotReady, "The job is still running."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: plain(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The upload exceeds 25 MiB."
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: plain(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The recording's file format is not supported."
    ),
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: plain(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "The range starts after the end of the file."
    ),
    HTTPStatus.UNPROCESSABLE_ENTITY: _example(
        errors.UnknownSpeaker,
        "The comfyui backend has no speaker 'Emily'.",
        "Available speakers: Ryan, Serena, Vivian, …",
    ),
    HTTPStatus.TOO_MANY_REQUESTS: plain(
        HTTPStatus.TOO_MANY_REQUESTS, "Rate limit exceeded: 600 requests per minute."
    ),
    HTTPStatus.BAD_GATEWAY: _example(
        errors.GenerationFailed,
        "The node failed on the ComfyUI server: CUDA error: device-side assert.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: _example(
        errors.BackendUnavailable,
        "Cannot reach ComfyUI at http://127.0.0.1:8188.",
        "Start ComfyUI, or set tts.qwen.comfyui_url.",
    ),
    HTTPStatus.GATEWAY_TIMEOUT: plain(HTTPStatus.GATEWAY_TIMEOUT, "The job took more than 3600 s."),
}
