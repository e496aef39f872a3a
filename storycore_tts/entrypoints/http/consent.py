"""Routes for the consent to the use of stored voices."""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from storycore_tts.entrypoints.http.answers import PREFIX
from storycore_tts.entrypoints.http.documented import documented
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.entrypoints.http.schemas import View, by_example
from storycore_tts.entrypoints.http.security.keys import CurrentOwner, KeyedRoute
from storycore_tts.entrypoints.http.service import CurrentService
from storycore_tts.errors import InvalidRequest

router = APIRouter(prefix=f"{PREFIX}/voices", tags=["voices"], route_class=KeyedRoute)

VoiceName = Annotated[str, Path(description="Name of the stored voice.")]
_OF_A_VOICE = documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)


class ConsentView(View):
    """The consent to the use of a voice."""

    model_config = by_example(
        {
            "id": "9f3c5b0e7d2a4c86b1e0f4a97c35d218",
            "how": "document",
            "text": "Mia agreed, 2026-03-02",
            "given_by": "Mia Example",
            "document_sha256": "5e" * 32,
            "statement_sha256": "",
            "projects": ["harbour"],
            "purposes": [],
            "languages": ["German"],
            "given": "2026-03-02T09:30:00Z",
            "expires": "2027-03-03T00:00:00Z",
            "reference_sha256": "7a" * 32,
        }
    )

    id: str
    """Id of the record."""
    how: Literal["text", "document", "statement"]
    """Strongest evidence; a recorded statement is not checked."""
    text: str
    """Who agreed, and when, in words."""
    given_by: str
    """Name of the person."""
    document_sha256: str
    """Hash of the signed document."""
    statement_sha256: str
    """Hash of the recorded statement."""
    projects: list[str]
    """Projects that it covers; none: all."""
    purposes: list[str]
    """Purposes that it covers; none: all."""
    languages: list[str]
    """Languages that it covers; none: all."""
    given: datetime
    """When it was recorded."""
    expires: datetime | None
    """When it ends; null: never."""
    reference_sha256: str
    """Hash of the recording that it was given for."""


class RevocationBody(BaseModel):
    """Why a consent is revoked."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", description="Why, in words.", max_length=1000)


class RevocationView(View):
    """A revoked voice, and its jobs."""

    model_config = by_example(
        {
            "voice": "Mia",
            "consent_id": "9f3c5b0e7d2a4c86b1e0f4a97c35d218",
            "reference_sha256": "7a" * 32,
            "revoked": "2026-05-04T10:00:00Z",
            "reason": "Mia withdrew her consent.",
            "ended_jobs": 2,
            "outputs": ["3f2b8c1e-9d4a-4c67-8a51-6e0d9b7f2c34"],
        }
    )

    voice: str
    """Name of the voice."""
    consent_id: str
    """Id of the revoked record; empty if there was none."""
    reference_sha256: str
    """Hash of the recording."""
    revoked: datetime
    """When it was revoked."""
    reason: str
    """Why, in words."""
    ended_jobs: int
    """Number of jobs that had not ended, and have failed now."""
    outputs: list[str]
    """Ids of jobs in this voice that had succeeded; their audio is not deleted."""


@router.get("/{name}/consent", response_description="The consent.", responses=_OF_A_VOICE)
async def consent(name: VoiceName, service: CurrentService, owner: CurrentOwner) -> ConsentView:
    """Return the consent to the use of a stored voice."""
    library = service.speech.tts().voices
    try:
        voice = await asyncio.to_thread(library.get, name, owner=service.finder(owner))
    except InvalidRequest as error:
        raise _missing(error) from None
    if voice.consent_record is None:
        raise Refused(HTTPStatus.NOT_FOUND, f"The voice {voice.name!r} has no consent.")
    found: dict[str, Any] = voice.consent_record.to_json()
    return ConsentView(**{name: found[name] for name in ConsentView.model_fields})


@router.post(
    "/{name}/revoke", response_description="The consent was revoked.", responses=_OF_A_VOICE
)
async def revoke(
    name: VoiceName, body: RevocationBody, service: CurrentService, owner: CurrentOwner
) -> RevocationView:
    """Revoke the consent to the use of a stored voice, for good.

    The recording is deleted, and jobs in this voice fail.
    """
    try:
        revocation, jobs = await service.speech.revoke(
            name, reason=body.reason, owner=service.finder(owner)
        )
    except InvalidRequest as error:
        raise _missing(error) from None
    return RevocationView(
        voice=revocation.voice,
        consent_id=revocation.consent_id,
        reference_sha256=revocation.reference_sha256,
        revoked=revocation.revoked,
        reason=revocation.reason,
        ended_jobs=len(jobs.ended),
        outputs=list(jobs.outputs),
    )


def _missing(error: InvalidRequest) -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, error.message, hint=error.hint)
