"""Errors as problem details (RFC 9457), which OpenAI's clients can read too."""

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
from storycore_tts.errors import TTSError

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:storycore-tts:problem:"
_MOST_FIELDS = 20  # that are named; a request may have any number of wrong ones
_LONGEST_NAME = 100  # characters of such a field's name
_WHILE_BUSY = 5.0  # s; said where nobody else named a pause
_TO_NOBODY = 499  # the status by which servers note that the client had gone

# The first that fits decides; the text of each class in errors.py says whose side it is on.
_STATUS: tuple[tuple[type[TTSError], HTTPStatus], ...] = (
    (jobs.JobNotFound, HTTPStatus.NOT_FOUND),
    (jobs.UploadNotFound, HTTPStatus.NOT_FOUND),
    (jobs.JobNotReady, HTTPStatus.CONFLICT),
    (jobs.IdempotencyConflict, HTTPStatus.CONFLICT),
    (jobs.TooManyJobs, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.RecordingTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.UnsupportedRecording, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.ConfigurationError, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.BackendTimeout, HTTPStatus.GATEWAY_TIMEOUT),
    (errors.BackendUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.GenerationFailed, HTTPStatus.BAD_GATEWAY),
    (errors.AuthenticationFailed, HTTPStatus.BAD_GATEWAY),
    (errors.JobCancelled, HTTPStatus.CONFLICT),
    (errors.StorageFailed, HTTPStatus.SERVICE_UNAVAILABLE),
)


_KINDS: dict[str, type[TTSError]] = {
    name: kind
    for name, kind in {**vars(errors), **vars(jobs)}.items()
    if isinstance(kind, type) and issubclass(kind, TTSError)
}


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    loc: list[str | int] = Field(description="Where it is, from the outside in.")
    msg: str


class Problem(BaseModel):
    """A problem document."""

    type: str = Field(description="Names the kind of problem, for programs.")
    title: str
    status: int
    detail: str = Field(description="What went wrong, and on which side.")
    hint: str | None = Field(default=None, description="What to do next.")
    retryable: bool = Field(
        default=False, description="Whether the same request may succeed later."
    )
    backend: str | None = Field(default=None, description="Who raised it.")
    errors: list[FieldProblem] | None = None


class Refused(Exception):
    """A request that is refused for its form, not for what it asks for.

    Args:
        status: Of the answer.
        detail: What is wrong.
        hint: What to do next.
        headers: That the answer needs besides.
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
        """Describe it."""
        return Problem(
            type="about:blank",
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            hint=self.hint,
            retryable=self.status == HTTPStatus.TOO_MANY_REQUESTS,
        )


EXPECTED = (TTSError, Refused, RequestValidationError, HTTPException)
"""The errors that ``answer`` explains."""


def problem_of(error: TTSError) -> Problem:
    """Describe one of our errors."""
    return _problem(type(error), error.message, error.hint, error.backend, error.retryable)


def problem_of_failure(failure: jobs.Failure) -> Problem:
    """Describe why a job failed, as the same error would have been described at once."""
    kind = _KINDS.get(failure.error, TTSError)
    problem = _problem(kind, failure.message, failure.hint, failure.backend, failure.retryable)
    return problem.model_copy(update={"type": _type(failure.error)})


def as_error(problem: Problem) -> dict[str, Any]:
    """Return a problem as OpenAI's API words an error."""
    kind, _, name = problem.type.rpartition(":")
    fields = [str(part) for part in problem.errors[0].loc[1:]] if problem.errors else []
    return {
        "message": _said(problem),
        "type": "server_error" if problem.status >= 500 else "invalid_request_error",
        "param": ".".join(fields) or None,
        "code": None if kind == "about" else name,
    }


def answer(error: Exception, *, invalid: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY) -> Response:
    """Return the HTTP answer to one of the expected errors.

    Args:
        error: One of ``EXPECTED``.
        invalid: Status of a request that can be read and not be done.
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
    """Return the header that says when to ask again, for those problems that pass.

    Args:
        problem: What happened.
        seconds: What the backend said itself; None: nothing.
    """
    if not problem.retryable:
        return {}
    return {"Retry-After": str(math.ceil(seconds or _WHILE_BUSY))}


def response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as an HTTP answer.

    OpenAI's clients repeat a request after any error of a server, unless they are told not to. A
    line that failed for a reason that stays would keep the backend busy three times.
    """
    again = "Retry-After" in (headers or {})
    return Response(
        json.dumps(members(problem)).encode(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={**(headers or {}), "X-Should-Retry": str(again).lower()},
    )


def members(problem: Problem) -> dict[str, Any]:
    """Return the members of an answer: the problem, and beside it what other clients look for."""
    told = problem.model_dump(exclude_none=True)
    return {**told, "message": _said(problem), "error": as_error(problem)}


class ProblemRoute(APIRoute):
    """Answers errors with problem documents, whatever app the route is mounted in."""

    invalid = HTTPStatus.UNPROCESSABLE_ENTITY
    """Status of a request that can be read and not be done."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's own handler."""
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
        """Refuse a request whose body shall not be read; nothing is refused here."""


def _said(problem: Problem) -> str:
    return problem.detail if problem.hint is None else f"{problem.detail} {problem.hint}"


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
    """Return where a field is. Its name may be the client's own, and no proper string."""
    return [part if isinstance(part, int) else _clean(part) for part in loc]


def _clean(name: str) -> str:
    return name[:_LONGEST_NAME].encode("utf-8", "backslashreplace").decode()


def _type(name: str) -> str:
    return _PREFIX + _words(name).replace(" ", "-")


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def plain(status: HTTPStatus, detail: str, hint: str | None = None) -> Problem:
    """Describe a refusal that is none of our errors."""
    return Problem(type="about:blank", title=status.phrase, status=status, detail=detail, hint=hint)
