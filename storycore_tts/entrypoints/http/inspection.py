"""The route that inspects sound files: what they say of themselves, and whether that holds."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from storycore_tts.entrypoints.http.answers import PREFIX
from storycore_tts.entrypoints.http.disconnects import while_connected
from storycore_tts.entrypoints.http.documented import OF_RECORDINGS, documented
from storycore_tts.entrypoints.http.schemas import by_example
from storycore_tts.entrypoints.http.security.keys import CurrentOwner, KeyedRoute
from storycore_tts.entrypoints.http.service import CurrentService
from storycore_tts.services.inspection import to_json
from storycore_tts.sound.tags import VOCABULARY

router = APIRouter(prefix=PREFIX, tags=["inspection"], route_class=KeyedRoute)

_SOURCE = f"{VOCABULARY}trainedAlgorithmicMedia"
_TAGS = {
    "source_type": _SOURCE,
    "generator": "storycore-tts/0.1.0",
    "created": "2026-03-02T09:30:00+00:00",
    "model": "Qwen3-TTS-12Hz-1.7B-CustomVoice",
    "job": None,
    "all": {"digitalsourcetype": _SOURCE, "software": "storycore-tts/0.1.0"},
}


class InspectionForm(BaseModel):
    """A sound file to inspect."""

    model_config = ConfigDict(extra="forbid")

    file: UploadFile = Field(description="A sound file of any program.")


class TagsView(BaseModel):
    """What a file says of itself without a signature; anyone may have written it."""

    source_type: str | None = Field(description="IPTC's digital source type, as its URI.")
    generator: str | None = Field(description="Program that made it.")
    created: str | None = Field(description="When it was made.")
    model: str | None = Field(description="Model that made it.")
    job: str | None = Field(description="Id of the job that made it.")
    all: dict[str, str] = Field(description="All tags, by lowercase names.")


class SignatureProblem(BaseModel):
    """Why a signature does not hold, or its signer is not trusted."""

    code: str = Field(description="C2PA's status code.")
    sentence: str = Field(description="The same in plain words.")


class SignatureView(BaseModel):
    """The C2PA manifest of a file, and whether it holds."""

    state: Literal["intact", "broken", "none", "not checked"] = Field(
        description="Whether the file and its manifest are as they were signed."
    )
    reason: str | None = Field(description="Why it was not checked.")
    trusted: bool | None = Field(description="Whether the signer is on a trust list.")
    changed: bool | None = Field(
        description="Whether the file was changed after it was signed; null: unknown."
    )
    signed_by: str | None = Field(description="Name in the signer's certificate.")
    issuer: str | None = Field(description="Name of the authority that issued the certificate.")
    signed_at: str | None = Field(description="Time, if a time stamp authority confirms it.")
    generator: str | None = Field(description="Program that made the manifest.")
    source_type: str | None = Field(description="IPTC's digital source type, as its URI.")
    created: str | None = Field(description="When it was made, as the signer says.")
    model: str | None = Field(description="Model that made it, as the signer says.")
    actions: list[str] = Field(description="What was done, in order, such as `c2pa.created`.")
    ingredients: list[str] = Field(description="What it was made from; recordings by their hash.")
    problems: list[SignatureProblem] = Field(description="Why it does not hold, or is not trusted.")


class WatermarkView(BaseModel):
    """What the detector of watermarks heard."""

    state: Literal["found", "none", "not checked"] = Field(description="Whether one was found.")
    reason: str | None = Field(description="Why it was not looked for.")
    detector: str | None = Field(description="Name and version of the detector.")
    score: float | None = Field(description="0 to 1; 1: certainly marked.")


class InspectionView(BaseModel):
    """What was found in a sound file."""

    model_config = by_example(
        {
            "verdict": "synthetic",
            "sentence": "This file says that it is synthetic, and its signature by Studio is "
            "intact; the signer is not on a trust list.",
            "tags": _TAGS,
            "signature": {
                "state": "intact",
                "reason": None,
                "trusted": False,
                "changed": False,
                "signed_by": "Studio",
                "issuer": "Studio",
                "signed_at": None,
                "generator": "storycore-tts/0.1.0",
                "source_type": _SOURCE,
                "created": "2026-03-02T09:30:00+00:00",
                "model": "Qwen3-TTS-12Hz-1.7B-CustomVoice",
                "actions": ["c2pa.created"],
                "ingredients": [],
                "problems": [
                    {
                        "code": "signingCredential.untrusted",
                        "sentence": "The signer's certificate is not on a list of trusted "
                        "authorities: the signature shows whether the file was changed, not who "
                        "made it.",
                    }
                ],
            },
            "watermark": {
                "state": "not checked",
                "reason": "torch is not installed: pip install 'storycore-tts[watermark]'",
                "detector": None,
                "score": None,
            },
        }
    )

    verdict: Literal[
        "synthetic", "recording", "nothing", "unchecked", "contradictory", "broken"
    ] = Field(description="What the findings amount to.")
    sentence: str = Field(description="The verdict in plain words.")
    tags: TagsView = Field(description="What the file says without a signature.")
    signature: SignatureView = Field(description="What it says with a signature.")
    watermark: WatermarkView = Field(description="Whether a watermark was heard.")


@router.post(
    "/inspect",
    response_description="What was found in the file.",
    responses=documented(*OF_RECORDINGS, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def inspect(
    request: Request,
    form: Annotated[InspectionForm, Form(media_type="multipart/form-data")],
    service: CurrentService,
    owner: CurrentOwner,
) -> InspectionView:
    """Show what a sound file of any program says of itself, and whether that holds."""
    found = await while_connected(request, service.inspector.inspect(await form.file.read()))
    return InspectionView(**to_json(found))
