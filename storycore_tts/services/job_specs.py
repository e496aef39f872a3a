"""Requests as JSON and back, for jobs that outlive this process."""

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
        request: What is asked for; its ``job_id`` is left out, the job has its own.
        rendering: What becomes of the speech.
        reference: Under which id the recording of a clone request is kept.
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
    """Return the request that ``to_json`` wrote, and what becomes of its speech.

    Args:
        kind: What kind of job it is.
        document: What ``to_json`` returned.
        job_id: The job's id, by which a backend knows it again.
        fetch: Returns the recording that is kept under an id.

    Raises:
        InvalidRequest: It is refused now, although it was accepted; settings changed in between.
    """
    values = {**document["request"], "job_id": job_id}
    if "sampling" in values:
        values["sampling"] = Sampling(**values["sampling"])
    rendering = Rendering(**document.get("rendering", {}))
    if "reference" in values:
        recording = await fetch(values["reference"])
        transcript = values.pop("transcript")
        # Its bytes are ours, from ``encode_exactly``: no untrusted data is decoded here.
        decoded = asyncio.to_thread(ReferenceAudio.from_bytes, recording, transcript=transcript)
        values["reference"] = await decoded
    made = operation_of(kind).request
    assert made is not None
    return made(**values), rendering
