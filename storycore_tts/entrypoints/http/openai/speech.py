"""``/v1/audio/speech``."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from storycore_tts.domain.languages import language_named
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.sampling import SamplingParameters
from storycore_tts.entrypoints.http.documented import OF_BACKENDS, OF_RECORDINGS, documented
from storycore_tts.entrypoints.http.openai.errors import OpenAIRoute, report_ignored
from storycore_tts.entrypoints.http.openai.models import backend_of, is_known
from storycore_tts.entrypoints.http.openai.streaming import STREAMED, StreamOptions, answer
from storycore_tts.entrypoints.http.schemas import View, as_left_out
from storycore_tts.entrypoints.http.security.keys import CurrentOwner
from storycore_tts.entrypoints.http.service import CurrentService, Service
from storycore_tts.errors import (
    InvalidReferenceAudio,
    InvalidRequest,
    UnsupportedByBackend,
    UnsupportedLanguage,
)
from storycore_tts.parameter_fields import with_parameters
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech_service import SpeechService

router = APIRouter(prefix="/v1/audio", tags=["openai"], route_class=OpenAIRoute)

_OF_SPEECH = documented(
    HTTPStatus.NOT_FOUND,
    *OF_RECORDINGS,
    *OF_BACKENDS,
)


_OTHER_NAMES = {"speaker": "voice", "transcript": "ref_text"}
_NONE = ("", "None")  # sent by clients for missing instructions


class VoiceId(View):
    """A voice as sent by newer clients."""

    id: str
    """Name of the voice."""


@with_parameters(SamplingParameters, given=True)
class OpenAISpeechBody(BaseModel):
    """Fields of OpenAI and vLLM-Omni, and sampling. Others are ignored; null counts as missing."""

    model_config = ConfigDict(
        extra="allow",  # to report them in the response
        json_schema_extra={
            "examples": [
                {"model": "qwen3-tts", "input": "Once upon a time.", "voice": "Serena"},
            ]
        },
    )

    input: str = Field(description="The text to speak.")
    model: str | None = Field(default=None, description="See /v1/models.")
    voice: str | VoiceId | None = Field(
        default=None,
        description='A built-in or stored voice, or an id of voice_map such as alloy. "", null '
        "and default select the default voice. Alias: speaker.",
    )
    instructions: str | None = Field(default=None, description="How to speak it, in words.")
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = Field(
        default="mp3", description="Format of the sound file."
    )
    speed: Annotated[float, Field(ge=0.25, le=4)] | None = Field(
        default=1.0, description="Speed factor, at the same pitch."
    )
    stream_format: Literal["sse", "audio"] | None = Field(
        default=None, description="Stream the file, as it is or in server-sent events."
    )
    stream: bool | None = Field(
        default=None,
        description="Selects stream_format audio, or sse if the request accepts text/event-stream.",
    )
    language: str | None = Field(
        default=None, description="Name, code or locale; unsupported languages are ignored."
    )
    task_type: Literal["CustomVoice", "Base", "VoiceDesign"] | None = Field(
        default=None, description="Kind of model, of vLLM-Omni; VoiceDesign is not supported."
    )
    ref_audio: str | None = Field(
        default=None, description="A recording to clone, as a base64 data: URL."
    )
    ref_text: str | None = Field(
        default=None, description="Transcript of the recording. Alias: transcript."
    )
    x_vector_only_mode: bool | None = Field(default=None, description="Clone the timbre only.")
    consent: str | None = Field(
        default=None, description="Who agreed to the use of the recording, and when, in words."
    )
    project: str | None = Field(
        default=None, description="Project of the line; some voices may be used for certain ones."
    )
    purpose: str | None = Field(
        default=None, description="What it is for; some voices may be used for certain purposes."
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, body: Any) -> Any:
        return as_left_out(body, _OTHER_NAMES)

    @property
    def rendering(self) -> Rendering:
        """Format and speed of the audio."""
        return Rendering(self.response_format or "mp3", self.speed or 1.0)

    @property
    def speaker(self) -> str | None:
        """Name of the voice; None for the default voice."""
        name = self.voice.id if isinstance(self.voice, VoiceId) else self.voice or ""
        return None if name.strip().casefold() in ("", "default") else name

    @property
    def instruct(self) -> str:
        """Instructions; "" if there are none."""
        words = self.instructions or ""
        return "" if words.strip() in _NONE else words

    def takes_language(self) -> bool:
        """Return whether the language is supported or missing."""
        try:
            return not self.language or bool(language_named(self.language))
        except UnsupportedLanguage:
            return False

    def ignored(
        self, speech_service: SpeechService, wanted: SpeechRequest | CloneRequest
    ) -> list[str]:
        """Return the names of the fields that have no effect.

        Args:
            speech_service: The speech service.
            wanted: The resulting request.
        """
        found = [*(self.model_extra or {})]
        if not is_known(self.model, speech_service):
            found.append("model")
        if not self.takes_language():
            found.append("language")
        if self.instruct and isinstance(wanted, CloneRequest):
            found.append("instructions")
        return found


@router.post("/speech/", include_in_schema=False)
@router.post("/speech", response_class=Response, responses=STREAMED | _OF_SPEECH)
async def speech(
    request: Request, body: OpenAISpeechBody, service: CurrentService, owner: CurrentOwner
) -> Response:
    """Generate speech, as OpenAI's `audio.speech.create` does."""
    speech_service = service.speech
    backend = backend_of(body.model, speech_service)
    wanted = await _wanted(body, backend, service, service.finder(owner))
    asked = StreamOptions(
        body.rendering,
        stream_format=body.stream_format,
        stream=bool(body.stream),
        characters=len(body.input) + len(body.instruct),
    )
    answered = await answer(request, speech_service, backend, wanted, asked)
    return report_ignored(answered, body.ignored(speech_service, wanted))


async def _wanted(
    body: OpenAISpeechBody, backend: str | None, service: Service, owner: str | None
) -> SpeechRequest | CloneRequest:
    tts = service.speech.tts(backend)
    if body.task_type == "VoiceDesign":
        raise UnsupportedByBackend(
            "This service does not support voice design.",
            hint="Choose a voice, or send ref_audio to clone one.",
        )
    sampling = service.sampling(body)
    language = body.language or None if body.takes_language() else None
    if body.ref_audio:
        recording = await service.reader.read(_from_url(body.ref_audio), transcript=body.ref_text)
        return CloneRequest(
            body.input,
            recording,
            x_vector_only=bool(body.x_vector_only_mode),
            language=language or tts.defaults.language,
            sampling=sampling,
            consent=body.consent or "",
            project=body.project or "",
            purpose=body.purpose or "",
            strip_markup=tts.defaults.strip_markup,
        )
    if body.ref_text or body.x_vector_only_mode:
        raise InvalidRequest(
            "ref_text and x_vector_only_mode require a recording, but ref_audio is missing.",
            hint="Send the recording as ref_audio, a base64 data: URL.",
        )
    wanted = await tts.request_for(
        body.input,
        speaker=body.speaker,
        language=language,
        sampling=sampling,
        project=body.project or "",
        purpose=body.purpose or "",
        owner=owner,
    )
    # Clones do not support instructions, but clients send them with any voice.
    if body.instruct and isinstance(wanted, SpeechRequest):
        return replace(wanted, instruct=body.instruct)
    return wanted


def _from_url(url: str) -> bytes:
    """Decode a ``data:`` URL; other URLs are never fetched."""
    head, _, data = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidReferenceAudio(
            "ref_audio is not a base64 data: URL.",
            hint="Send the recording itself; URLs and files are not fetched.",
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidReferenceAudio("ref_audio is not valid base64.") from None
