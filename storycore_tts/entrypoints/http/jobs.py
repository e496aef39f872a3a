"""Routes for jobs: their state, their results, and cancellation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send

from storycore_tts.domain.jobs import JobState
from storycore_tts.entrypoints.http.answers import (
    AUDIO,
    PREFIX,
    job_answer,
    jobs_path,
    speech_headers,
)
from storycore_tts.entrypoints.http.documented import documented
from storycore_tts.entrypoints.http.ranges import ranged
from storycore_tts.entrypoints.http.schemas import JobList, JobView
from storycore_tts.entrypoints.http.security.keys import CurrentOwner, KeyedRoute
from storycore_tts.entrypoints.http.sending import SLOWEST_READER
from storycore_tts.entrypoints.http.service import CurrentService

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"], route_class=KeyedRoute)

JobId = Annotated[str, Path(description="Id of the job.")]

_PING = 15  # s; shorter than the idle timeouts of proxies
_OF_A_LIST = documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
_OF_A_JOB = documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)
_OF_AUDIO = documented(
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An event `job` for each change, with the job as data, until it has ended.",
        "content": {"text/event-stream": {}},
    }
}
_PARTIAL: dict[int | str, dict[str, Any]] = {
    206: {"description": "A part of the sound file.", "content": AUDIO[200]["content"]},
    304: {"description": "The client's copy is current."},
}


class Events(EventSourceResponse):
    """Server-sent events that disconnect clients which stop reading.

    Args:
        changes: The events.
    """

    def __init__(self, changes: AsyncIterator[ServerSentEvent]) -> None:
        super().__init__(changes, ping=_PING, send_timeout=SLOWEST_READER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with suppress(SendTimeoutError):  # the answer is cut off
            await super().__call__(scope, receive, send)


@router.get("", response_description="Your jobs.", responses=_OF_A_LIST)
async def jobs(
    request: Request,
    service: CurrentService,
    owner: CurrentOwner,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Maximum number of jobs.")] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="Jobs to skip.")] = 0,
) -> JobList:
    """List your jobs, newest first."""
    queue = await service.speech.queue()
    found = await queue.jobs(owner, state=state, limit=limit, offset=offset)
    return JobList(jobs=[JobView.of(job, jobs_path(request)) for job in found])


@router.get(
    "/{job_id}",
    response_model=JobView,
    response_description="The job.",
    responses=_OF_A_JOB,
)
async def job(
    request: Request, job_id: JobId, service: CurrentService, owner: CurrentOwner
) -> Response:
    """Return the state of a job."""
    queue = await service.speech.queue()
    return job_answer(request, await queue.get(owner, job_id), HTTPStatus.OK)


@router.delete(
    "/{job_id}",
    response_model=JobView,
    response_description="The job as it is now.",
    responses=_OF_A_JOB | documented(HTTPStatus.CONFLICT),
)
async def cancel(
    request: Request,
    job_id: JobId,
    service: CurrentService,
    owner: CurrentOwner,
    remove: Annotated[
        bool, Query(description="Delete a job that has ended, and its audio, instead.")
    ] = False,
) -> Response:
    """Cancel a job, on the backend too; a job that has ended is not changed."""
    queue = await service.speech.queue()
    do = queue.remove if remove else queue.cancel
    return job_answer(request, await do(owner, job_id), HTTPStatus.OK)


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=_EVENTS | _OF_A_JOB)
async def events(
    request: Request, job_id: JobId, service: CurrentService, owner: CurrentOwner
) -> Response:
    """Follow a job as server-sent events."""
    queue = await service.speech.queue()
    await queue.get(owner, job_id)  # or 404, while there is a status to send

    async def changes() -> AsyncIterator[ServerSentEvent]:
        async with aclosing(queue.watch(owner, job_id)) as seen:  # type: ignore[type-var]
            async for job in seen:
                view = JobView.of(job, jobs_path(request))
                yield ServerSentEvent(view.model_dump_json(), event="job")

    return Events(changes())


@router.get("/{job_id}/audio", response_class=Response, responses=AUDIO | _PARTIAL | _OF_AUDIO)
async def audio(
    job_id: JobId,
    service: CurrentService,
    owner: CurrentOwner,
    range_: Annotated[
        str | None, Header(alias="Range", description="Bytes to return, as in RFC 9110.")
    ] = None,
    if_range: Annotated[
        str | None, Header(description="Return the range only if this ETag is current.")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="Return 304 if this ETag is current.")
    ] = None,
) -> Response:
    """Return the sound file of a job, or a part of it."""
    queue = await service.speech.queue()
    facts = (await queue.get(owner, job_id)).facts
    stored = await queue.audio(owner, job_id)
    answer = ranged(stored, range_, if_range=if_range, if_none_match=if_none_match)
    answer.headers.update(speech_headers(facts))
    return answer
