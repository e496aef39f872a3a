"""Converts requests to JSON and back, for jobs that outlive the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from storycore_tts.domain.jobs import JSON, JobKind
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio
from storycore_tts.domain.sampling import Sampling
from storycore_tts.ports.operations import Request, operation_of
from storycore_tts.services.rendering import Rendering


def to_json(
    request: Request, *, rendering: Rendering | None = None, reference: str | None = None
) -> JSON:
    """Return a request as JSON.

    Args:
        request: The request; its ``job_id`` is omitted, since the job has its own.
        rendering: How the audio is rendered.
        reference: Id of the stored recording of a clone request.
    """
    values = dict(vars(request))
    del values["job_id"]
    if "sampling" in values:
        values["sampling"] = asdict(values["sampling"])
    if isinstance(request, CloneRequest):
        values["reference"] = reference
        values["transcript"] = request.reference.transcript
    document: dict[str, Any] = {"request": values}
    if rendering is not None:
        document["rendering"] = asdict(rendering)
    return document


async def from_json(
    kind: JobKind, document: JSON, *, job_id: str, fetch: Callable[[str], Awaitable[bytes]]
) -> tuple[Request, Rendering]:
    """Return the request and the rendering from the JSON of ``to_json``.

    Args:
        kind: Kind of the job.
        document: Result of ``to_json``.
        job_id: Id of the job, by which backends recognize it.
        fetch: Returns the stored recording with an id.

    Raises:
        InvalidRequest: The request is no longer valid, although it was accepted earlier.
    """
    values = {**document["request"], "job_id": job_id}
    if "sampling" in values:
        values["sampling"] = Sampling(**values["sampling"])
    rendering = Rendering(**document.get("rendering", {}))
    if "reference" in values:
        recording = await fetch(values["reference"])
        transcript = values.pop("transcript")
        # Trusted bytes: they were written by ``encode_exactly``.
        decoded = asyncio.to_thread(ReferenceAudio.from_bytes, recording, transcript=transcript)
        values["reference"] = await decoded
    made = operation_of(kind).request
    assert made is not None
    return made(**values), rendering
