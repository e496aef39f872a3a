"""``/v1/audio/voices``: built-in and stored voices."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Path, Query, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, model_validator

from storycore_tts.domain.consent import Consent, expiry
from storycore_tts.domain.stored_voices import StoredVoice
from storycore_tts.entrypoints.http.documented import OF_BACKENDS, OF_RECORDINGS, documented
from storycore_tts.entrypoints.http.openai.errors import (
    ListRoute,
    OpenAIRoute,
    report_ignored,
)
from storycore_tts.entrypoints.http.openai.models import ModelName, backend_of
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.entrypoints.http.schemas import View, as_left_out, by_example
from storycore_tts.entrypoints.http.security.keys import ANONYMOUS, CurrentOwner
from storycore_tts.entrypoints.http.service import CurrentService, Service
from storycore_tts.errors import ConsentRefused, InvalidRequest
from storycore_tts.services.voices import VoiceLibrary

router = APIRouter(prefix="/v1/audio/voices", tags=["openai"], route_class=OpenAIRoute)
lists = APIRouter(prefix="/v1/audio/voices", tags=["openai"], route_class=ListRoute)

PlainNames = Annotated[bool, Query(description="List `voices` as plain names.")]

_OF_A_LIST = documented(*OF_BACKENDS)
_OF_A_VOICE = documented(
    *OF_RECORDINGS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


_UPLOADED = {
    "name": "Mia",
    "consent": "Mia herself, 2026-03-02",
    "created_at": 1_772_442_600,
    "mime_type": "audio/wav",
    "ref_text": "Good evening, and welcome.",
}
_VOICE = {
    "id": "Mia",
    "name": "Mia",
    "object": "audio.voice",
    "type": "audio_sample",
    "created_at": 1_772_442_600,
}


class VoiceForm(BaseModel):
    """A voice to store."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="1 to 64 letters, digits, spaces, dots, hyphens, underscores.")
    consent: str = Field(description="Who agreed to the use of the voice, and when, in words.")
    audio_sample: UploadFile = Field(description="The recording, 3 to 15 s of speech.")
    ref_text: str | None = Field(
        default=None,
        description="Transcript of the recording; without it, only the timbre is cloned. Alias: "
        "transcript.",
    )
    language: str | None = Field(default=None, description="Default language of the voice.")
    consent_by: str = Field(default="", description="Name of the person who agreed.")
    consent_document: UploadFile | None = Field(
        default=None, description="A signed document; only its SHA-256 is kept."
    )
    consent_statement: UploadFile | None = Field(
        default=None,
        description="A recorded statement of the speaker; only its SHA-256 is kept, and what is "
        "said in it is not checked.",
    )
    projects: list[str] = Field(default=[], description="Projects that it covers; none: all.")
    languages: list[str] = Field(default=[], description="Languages that it covers; none: all.")
    purposes: list[str] = Field(default=[], description="Purposes that it covers; none: all.")
    expires: str | None = Field(
        default=None, description="Last day of the consent in UTC, or a time with a time zone."
    )
    type: Literal["audio_sample"] = Field(default="audio_sample", description="The only type.")

    @model_validator(mode="before")
    @classmethod
    def _takes_transcript(cls, form: Any) -> Any:
        return as_left_out(form, {"transcript": "ref_text"})


class UploadedVoice(View):
    """A stored voice in vLLM-Omni's format."""

    name: str
    """Name of the voice."""
    consent: str
    """Who agreed to its use, and when."""
    created_at: int
    """When it was stored, in seconds since 1970."""
    mime_type: str = "audio/wav"
    """Media type of the recording."""
    ref_text: str | None = None
    """Transcript of the recording."""


class VoiceView(View):
    """A voice in OpenAI's format."""

    id: str
    """Value for `voice`."""
    name: str
    """The same name."""
    object: Literal["audio.voice"] = "audio.voice"
    """Always `audio.voice`."""
    type: Literal["audio_sample", "checkpoint", "built_in"]
    """Recording, checkpoint or built-in voice."""
    created_at: int = 0
    """When it was stored, in seconds since 1970; 0 if unknown."""


class VoiceName(View):
    """The name of a voice, under the keys that various clients read."""

    id: str
    """Name of the voice."""
    name: str
    """The same name."""
    value: str
    """The same name."""
    label: str
    """The same name."""


class VoiceList(View):
    """All voices, in the formats of several services."""

    model_config = by_example(
        {
            "voices": [{"id": "Mia", "name": "Mia", "value": "Mia", "label": "Mia"}],
            "uploaded_voices": [_UPLOADED],
            "object": "list",
            "data": [_VOICE],
        }
    )

    voices: list[VoiceName] | list[str]
    """All voices; as plain names with `legacy`."""
    uploaded_voices: list[UploadedVoice]
    """Stored recordings."""
    object: Literal["list"] = "list"
    """Always `list`."""
    data: list[VoiceView]
    """All voices, with details."""


class CreatedVoice(VoiceView):
    """A voice that was stored."""

    model_config = by_example({**_VOICE, "success": True, "voice": _UPLOADED})

    success: Literal[True] = True
    """Always true."""
    voice: UploadedVoice
    """The voice, in the format of vLLM-Omni."""


class DeletedVoice(View):
    """A voice that was deleted."""

    model_config = by_example(
        {
            "success": True,
            "message": "The voice 'Mia' was deleted.",
            "id": "Mia",
            "object": "audio.voice.deleted",
            "deleted": True,
        }
    )

    success: Literal[True] = True
    """Always true."""
    message: str
    """Confirmation, for display."""
    id: str
    """Name of the voice."""
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    """Always `audio.voice.deleted`."""
    deleted: Literal[True] = True
    """Always true."""


@lists.get(
    "",
    response_model_exclude_none=True,
    response_description="The voices.",
    responses=_OF_A_LIST,
)
async def voices(
    service: CurrentService, owner: CurrentOwner, legacy: PlainNames = False
) -> VoiceList:
    """List the voices of the default backend and stored voices; as strings with `legacy`."""
    return await _listed(service, owner, None, legacy=legacy)


@lists.get(
    "/{model:path}",
    response_model_exclude_none=True,
    response_description="The voices.",
    responses=_OF_A_LIST | documented(HTTPStatus.NOT_FOUND),
)
async def voices_of_a_model(
    model: ModelName, service: CurrentService, owner: CurrentOwner, legacy: PlainNames = False
) -> VoiceList:
    """List the voices of a model and stored voices."""
    return await _listed(service, owner, backend_of(model, service.speech), legacy=legacy)


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_description="The voice was stored.",
    response_model_exclude_none=True,
    responses=_OF_A_VOICE,
)
async def keep(
    answer: Response,
    form: Annotated[VoiceForm, Form(media_type="multipart/form-data")],
    service: CurrentService,
    owner: CurrentOwner,
) -> CreatedVoice:
    """Store a recording as a named voice."""
    recording = await service.recording(form.audio_sample, transcript=form.ref_text)
    consent = await _consent(form, service.finder(owner) or "")
    voice = await asyncio.to_thread(
        StoredVoice,
        form.name,
        reference=recording,
        language=form.language,
        consent_record=consent,
    )
    await asyncio.to_thread(service.speech.tts().voices.add, voice)
    report_ignored(answer, [*(form.model_extra or {})])
    return CreatedVoice(**_viewed(voice), voice=_uploaded(voice))


@router.delete(
    "/{name}",
    response_description="The voice was deleted.",
    responses=documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def forget(
    name: Annotated[str, Path(description="Name of the voice.")],
    service: CurrentService,
    owner: CurrentOwner,
) -> DeletedVoice:
    """Delete a stored voice."""
    try:
        library = service.speech.tts().voices
        await asyncio.to_thread(library.remove, name, owner=service.finder(owner))
    except InvalidRequest as error:
        raise Refused(HTTPStatus.NOT_FOUND, error.message, hint=error.hint) from None
    return DeletedVoice(id=name, message=f"The voice {name!r} was deleted.")


async def _consent(form: VoiceForm, owner: str) -> Consent:
    return Consent(
        form.consent,
        given_by=form.consent_by,
        document_sha256=await _hash(form.consent_document),
        statement_sha256=await _hash(form.consent_statement),
        projects=tuple(form.projects),
        purposes=tuple(form.purposes),
        languages=tuple(form.languages),
        expires=None if form.expires is None else expiry(form.expires),
        owner=owner,
    )


async def _hash(upload: UploadFile | None) -> str:
    if upload is None:
        return ""
    return (await asyncio.to_thread(sha256, await upload.read())).hexdigest()


async def _listed(service: Service, owner: str, backend: str | None, *, legacy: bool) -> VoiceList:
    tts = service.speech.tts(backend)
    built_in = [speaker.name for speaker in await tts.speakers()]
    # With open_lists, a request without a key gets the names of all voices, and nothing else.
    is_known = owner != ANONYMOUS or not service.config.server.api_keys
    finder = service.finder(owner) if is_known else None
    stored = await asyncio.to_thread(_stored, tts.voices, finder)
    names = [*built_in, *(voice.name for voice in stored)]
    clones = [voice for voice in stored if voice.kind == "clone" and is_known]
    hidden = {} if is_known else {"created_at": 0}
    return VoiceList(
        voices=names if legacy else [VoiceName(**_named(name)) for name in names],
        uploaded_voices=[_uploaded(voice) for voice in clones],
        data=[
            *(VoiceView(id=name, name=name, type="built_in") for name in built_in),
            *(VoiceView(**_viewed(voice) | hidden) for voice in stored),
        ],
    )


def _named(name: str) -> dict[str, str]:
    return dict.fromkeys(("id", "name", "value", "label"), name)


def _stored(library: VoiceLibrary, owner: str | None) -> list[StoredVoice]:
    found = []
    for name in library.names(owner=owner):
        with suppress(ConsentRefused):  # revoked meanwhile
            found.append(library.find(name, owner=owner))
    return [voice for voice in found if voice is not None]  # None: deleted meanwhile


def _uploaded(voice: StoredVoice) -> UploadedVoice:
    return UploadedVoice(
        name=voice.name,
        consent=voice.consent,
        created_at=int(voice.created.timestamp()),
        ref_text=voice.reference.transcript if voice.reference else None,
    )


def _viewed(voice: StoredVoice) -> dict[str, Any]:
    return {
        "id": voice.name,
        "name": voice.name,
        "type": "audio_sample" if voice.kind == "clone" else "checkpoint",
        "created_at": int(voice.created.timestamp()),
    }
