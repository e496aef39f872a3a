"""Errors as problem details (RFC 9457), with the fields that OpenAI clients expect."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from storycore_tts import errors
from storycore_tts.domain import jobs
from storycore_tts.entrypoints.http.disconnects import ClientLeft
from storycore_tts.errors import TTSError, as_sentence

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:storycore-tts:problem:"
_MOST_FIELDS = 20  # listed in a problem; a request may have any number of invalid fields
_LONGEST_NAME = 100  # characters of such a field's name
_WHILE_BUSY = 5.0  # s; default of Retry-After
_TO_NOBODY = 499  # "client closed request", by convention

# The first match applies. The docstring of each class in errors.py says which side is at fault.
_STATUS: tuple[tuple[type[TTSError], HTTPStatus], ...] = (
    (jobs.JobNotFound, HTTPStatus.NOT_FOUND),
    (jobs.UploadNotFound, HTTPStatus.NOT_FOUND),
    (jobs.JobNotReady, HTTPStatus.CONFLICT),
    (jobs.IdempotencyConflict, HTTPStatus.CONFLICT),
    (jobs.TooManyJobs, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.RecordingTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.UnsupportedRecording, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.ConsentRefused, HTTPStatus.FORBIDDEN),
    (errors.ConfigurationError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.BackendTimeout, HTTPStatus.GATEWAY_TIMEOUT),
    (errors.BackendUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.GenerationFailed, HTTPStatus.BAD_GATEWAY),
    (errors.AuthenticationFailed, HTTPStatus.BAD_GATEWAY),
    (errors.JobCancelled, HTTPStatus.CONFLICT),
    (errors.StorageFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.MarkingFailed, HTTPStatus.SERVICE_UNAVAILABLE),
)


_KINDS: dict[str, type[TTSError]] = {
    name: kind
    for name, kind in {**vars(errors), **vars(jobs)}.items()
    if isinstance(kind, type) and issubclass(kind, TTSError)
}


class FieldProblem(BaseModel):
    """A validation error of one field."""

    loc: list[str | int] = Field(description="Path of the field, outermost part first.")
    msg: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """A problem document."""

    type: str = Field(description="Machine-readable kind of the problem.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="Status of the response.")
    detail: str = Field(description="What went wrong, and on which side.")
    hint: str | None = Field(default=None, description="What to do next.")
    retryable: bool = Field(
        default=False, description="Whether the same request may succeed later."
    )
    backend: str | None = Field(default=None, description="Backend that raised it.")
    errors: list[FieldProblem] | None = Field(
        default=None, description="The invalid fields, if the request has such."
    )


class Refused(Exception):
    """A request that is rejected at the HTTP level, before its contents matter.

    Args:
        status: HTTP status of the response.
        detail: What is wrong.
        hint: What to do next.
        headers: Additional response headers.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})

    def problem(self) -> Problem:
        """Return the problem document."""
        return Problem(
            type="about:blank",
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            hint=self.hint,
            retryable=self.status == HTTPStatus.TOO_MANY_REQUESTS,
        )


EXPECTED = (TTSError, Refused, RequestValidationError, HTTPException)
"""The errors that ``answer`` converts to responses."""


def problem_of(error: TTSError) -> Problem:
    """Return the problem document of an error."""
    return _problem(type(error), error.message, error.hint, error.backend, error.retryable)


def problem_of_failure(failure: jobs.Failure) -> Problem:
    """Return the problem document of a failed job, the same as for the original error."""
    kind = _KINDS.get(failure.error, TTSError)
    problem = _problem(kind, failure.message, failure.hint, failure.backend, failure.retryable)
    return problem.model_copy(update={"type": _type(failure.error)})


def as_error(problem: Problem) -> dict[str, Any]:
    """Return a problem in the error format of OpenAI's API."""
    kind, _, name = problem.type.rpartition(":")
    fields = [str(part) for part in problem.errors[0].loc[1:]] if problem.errors else []
    return {
        "message": _said(problem),
        "type": "server_error" if problem.status >= 500 else "invalid_request_error",
        "param": ".".join(fields) or None,
        "code": None if kind == "about" else name,
    }


def answer(error: Exception, *, invalid: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY) -> Response:
    """Return the HTTP response for an error.

    Args:
        error: One of ``EXPECTED``.
        invalid: Status for a well-formed request with invalid values.
    """
    headers: Mapping[str, str] | None
    if isinstance(error, TTSError):
        problem = problem_of(error)
        headers = pause(problem, getattr(error, "retry_after", None))
    elif isinstance(error, Refused):
        problem, headers = error.problem(), error.headers
    elif isinstance(error, RequestValidationError):
        problem, headers = _invalid(error), None
    else:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        problem, headers = plain(status, str(error.detail)), error.headers
    if problem.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        problem.status = invalid
    return response(problem, headers)


def pause(problem: Problem, seconds: float | None = None) -> dict[str, str]:
    """Return the ``Retry-After`` header if the problem is retryable, else no headers.

    Args:
        problem: The problem.
        seconds: Delay requested by the backend; None: the default.
    """
    if not problem.retryable:
        return {}
    return {"Retry-After": str(math.ceil(seconds or _WHILE_BUSY))}


def response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as an HTTP response.

    OpenAI's clients retry after any server error unless ``X-Should-Retry`` is false. Without it, a
    line that always fails would occupy the backend three times.

    Args:
        problem: The problem.
        headers: Additional response headers.
    """
    again = "Retry-After" in (headers or {})
    return Response(
        json.dumps(members(problem)).encode(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={**(headers or {}), "X-Should-Retry": str(again).lower()},
    )


def members(problem: Problem) -> dict[str, Any]:
    """Return the JSON members of a response: the problem, and fields that other clients expect."""
    told = problem.model_dump(exclude_none=True)
    return {**told, "message": _said(problem), "error": as_error(problem)}


class ProblemRoute(APIRoute):
    """Route that returns errors as problem documents, in any app that it is mounted in."""

    invalid = HTTPStatus.UNPROCESSABLE_ENTITY
    """Status for a well-formed request with invalid values."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()

        async def handle_and_explain(request: Request) -> Response:
            try:
                await self.admit(request)
                return await handle(request)
            except EXPECTED as error:
                return answer(error, invalid=self.invalid)
            except (ClientLeft, ClientDisconnect):
                return Response(status_code=_TO_NOBODY)

        return handle_and_explain

    async def admit(self, request: Request) -> None:
        """Hook for rejecting a request before its body is read. The default accepts all."""


def _said(problem: Problem) -> str:
    return problem.detail if not problem.hint else f"{as_sentence(problem.detail)} {problem.hint}"


def _problem(
    kind: type[TTSError], detail: str, hint: str | None, backend: str | None, retryable: bool
) -> Problem:
    status = next((s for k, s in _STATUS if issubclass(kind, k)), HTTPStatus.INTERNAL_SERVER_ERROR)
    return Problem(
        type=_type(kind.__name__),
        title=_words(kind.__name__).capitalize(),
        status=status,
        detail=detail,
        hint=hint,
        backend=backend,
        retryable=retryable,
    )


def _invalid(error: RequestValidationError) -> Problem:
    found = error.errors()
    broken = any(e["type"] == "json_invalid" for e in found)
    status = HTTPStatus.BAD_REQUEST if broken else HTTPStatus.UNPROCESSABLE_ENTITY
    fields = [FieldProblem(loc=_place(e["loc"]), msg=e["msg"]) for e in found[:_MOST_FIELDS]]
    first = fields[0]
    where = ".".join(str(part) for part in first.loc)
    return Problem(
        type=f"{_PREFIX}invalid-request",
        title="Invalid request",
        status=status,
        detail=f"{where}: {first.msg}",
        errors=fields,
    )


def _place(loc: tuple[str | int, ...]) -> list[str | int]:
    """Return the path of a field. Names come from the client and may be invalid Unicode."""
    return [part if isinstance(part, int) else _clean(part) for part in loc]


def _clean(name: str) -> str:
    return name[:_LONGEST_NAME].encode("utf-8", "backslashreplace").decode()


def _type(name: str) -> str:
    return _PREFIX + _words(name).replace(" ", "-")


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def plain(status: HTTPStatus, detail: str, hint: str | None = None) -> Problem:
    """Return the problem document for an error without a class of its own."""
    return Problem(type="about:blank", title=status.phrase, status=status, detail=detail, hint=hint)
