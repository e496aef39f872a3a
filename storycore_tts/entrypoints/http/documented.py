"""What the OpenAPI document says of answers that are problems, with an example of each."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from storycore_tts.domain import errors, jobs
from storycore_tts.domain.errors import TTSError
from storycore_tts.entrypoints.http.problems import MEDIA_TYPE, Problem, plain, problem_of

OF_RECORDINGS = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
"""How a recording may be refused."""

OF_BACKENDS = (
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""What asking a backend may end in."""


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of these answers; those of every request are among them."""
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
    HTTPStatus.BAD_REQUEST: plain(HTTPStatus.BAD_REQUEST, "The body is no valid JSON."),
    HTTPStatus.UNAUTHORIZED: plain(
        HTTPStatus.UNAUTHORIZED, "This service needs a key.", "Send Authorization: Bearer KEY."
    ),
    HTTPStatus.FORBIDDEN: plain(
        HTTPStatus.FORBIDDEN, "Requests from the origin https://elsewhere.example are not taken."
    ),
    HTTPStatus.NOT_FOUND: _example(jobs.JobNotFound, "There is no such job."),
    HTTPStatus.CONFLICT: _example(jobs.JobNotReady, "The job is still running."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: plain(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The upload has more than 25 MiB."
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: plain(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The recording is none of the sound files taken here."
    ),
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: plain(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "The file ends before the range begins."
    ),
    HTTPStatus.UNPROCESSABLE_ENTITY: _example(
        errors.UnknownSpeaker, "There is no speaker 'Emily'.", "Speakers: Ryan, Serena, Vivian, …"
    ),
    HTTPStatus.TOO_MANY_REQUESTS: plain(
        HTTPStatus.TOO_MANY_REQUESTS, "More than 600 requests in a minute."
    ),
    HTTPStatus.BAD_GATEWAY: _example(
        errors.GenerationFailed, "ComfyUI failed at the job: CUDA error: device-side assert."
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: _example(
        errors.BackendUnavailable,
        "No ComfyUI answers at http://127.0.0.1:8188.",
        "Start it, or set tts.qwen.comfyui_url.",
    ),
    HTTPStatus.GATEWAY_TIMEOUT: plain(HTTPStatus.GATEWAY_TIMEOUT, "The job took more than 3600 s."),
}
