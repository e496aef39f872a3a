"""Converts requests to JSON and back, for jobs that outlive the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from storycore_tts.domain.consent import ConsentReference
from storycore_tts.domain.disclosure import Disclosure
from storycore_tts.domain.jobs import JSON, JobKind
from storycore_tts.domain.requests import CloneRequest, ReferenceAudio
from storycore_tts.domain.sampling import Sampling
from storycore_tts.errors import InvalidRequest
from storycore_tts.ports.operations import Request, operation_of
from storycore_tts.services.rendering import Rendering

T = TypeVar("T")

# Documents have always held these, whatever their value. A field that was added later is omitted
# where it has its default: a request that is sent again after an upgrade, with the same
# Idempotency-Key, is still the same request; and older versions can read the document.
_ALWAYS_WRITTEN = frozenset(
    (
        *("text", "speaker", "checkpoint", "language", "instruct", "project"),
        *("reference", "x_vector_only", "dataset", "output_dir", "speaker_name", "test_text"),
        *("model_choice", "learning_rate", "num_epochs", "batch_size"),
        *("gradient_accumulation_steps", "validate_every", "sampling", "max_new_tokens", "top_p"),
        *("top_k", "temperature", "repetition_penalty", "seed", "format", "speed", "pitch"),
    )
)


def to_json(
    request: Request, *, rendering: Rendering | None = None, reference: str | None = None
) -> JSON:
    """Return a request as JSON.

    Args:
        request: The request; its ``job_id`` is omitted, since the job has its own.
        rendering: How the audio is rendered.
        reference: Id of the stored recording of a clone request.
    """
    values = written(request)
    values.pop("job_id", None)
    if "sampling" in values:
        values["sampling"] = written(values["sampling"])
    if "voice_consent" in values:
        values["voice_consent"] = asdict(values["voice_consent"])
    if isinstance(request, CloneRequest):
        values["reference"] = reference
        values["transcript"] = request.reference.transcript
    document: dict[str, Any] = {"request": values}
    if rendering is not None:
        document["rendering"] = written(rendering)
        if rendering.disclosure is not None:
            document["rendering"]["disclosure"] = written(rendering.disclosure)
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
        InvalidRequest: The request is no longer valid, although it was accepted earlier; or a newer
            version accepted it, and it sets something that this version does not know.
    """
    values = {**document["request"], "job_id": job_id}
    if "sampling" in values:
        values["sampling"] = _read(Sampling, values["sampling"])
    if "voice_consent" in values:
        values["voice_consent"] = _read(ConsentReference, values["voice_consent"])
    how = {**document.get("rendering", {})}
    if "disclosure" in how:
        how["disclosure"] = _read(Disclosure, how["disclosure"])
    rendering = _read(Rendering, how)
    if "reference" in values:
        recording = await fetch(values["reference"])
        transcript = values.pop("transcript")
        # Trusted bytes: they were written by ``encode_exactly``.
        decoded = asyncio.to_thread(ReferenceAudio.from_bytes, recording, transcript=transcript)
        values["reference"] = await decoded
    made: Callable[..., Request] | None = operation_of(kind).request
    assert made is not None
    return _read(made, values), rendering


def written(value: Any) -> dict[str, Any]:
    """Return the fields of a request, of its sampling or of a rendering, for a document or a hash.

    A field that was added after version 0.1 is omitted where it has its default.
    """
    return {
        field.name: getattr(value, field.name)
        for field in fields(value)
        if field.name in _ALWAYS_WRITTEN or getattr(value, field.name) != field.default
    }


def _read(kind: Callable[..., T], values: Mapping[str, Any]) -> T:
    unknown = sorted(values.keys() - {field.name for field in fields(kind)})  # type: ignore[arg-type]
    if unknown:
        raise InvalidRequest(
            f"The job sets {', '.join(unknown)}, unknown to this version of storycore-tts.",
            hint="A newer version accepted it: upgrade, or send the request again without that.",
        )
    return kind(**values)
