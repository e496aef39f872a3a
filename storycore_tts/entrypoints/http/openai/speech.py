"""``/v1/audio/speech``."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from storycore_tts.domain.errors import (
    InvalidReferenceAudio,
    InvalidRequest,
    UnsupportedByBackend,
)
from storycore_tts.domain.rendering import Rendering
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.sampling import MAX_SEED
from storycore_tts.entrypoints.http.openai.errors import OpenAIRoute
from storycore_tts.entrypoints.http.openai.models import backend_of
from storycore_tts.entrypoints.http.openai.streaming import STREAMED, Asked, answer
from storycore_tts.entrypoints.http.problems import (
    OF_BACKENDS,
    OF_RECORDINGS,
    documented,
)
from storycore_tts.entrypoints.http.security.keys import CurrentOwner
from storycore_tts.entrypoints.http.service import CurrentService, Service

router = APIRouter(prefix="/v1/audio", tags=["openai"], route_class=OpenAIRoute)

_OF_SPEECH = documented(
    HTTPStatus.NOT_FOUND,
    *OF_RECORDINGS,
    *OF_BACKENDS,
)


class Voice(BaseModel):
    """A voice as newer clients name it."""

    model_config = ConfigDict(extra="forbid")

    id: str


class SpeechBody(BaseModel):
    """OpenAI's fields, and below them vLLM-Omni's."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"model": "qwen3-tts", "input": "Once upon a time.", "voice": "Serena"},
            ]
        },
    )

    input: str = Field(description="What to say.")
    model: str | None = Field(default=None, description="See /v1/models.")
    voice: str | Voice | None = Field(default=None, description="A built-in or stored voice.")
    instructions: str = Field(default="", description="How to say it, in words.")
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0
    stream_format: Literal["sse", "audio"] | None = None

    stream: bool = Field(
        default=False,
        description="Means stream_format audio, or sse if the request accepts text/event-stream.",
    )
    language: str | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] | None = None
    task_type: Literal["CustomVoice", "Base", "VoiceDesign"] | None = None
    ref_audio: str | None = Field(
        default=None, description="A recording to clone, as a data: URL in base64."
    )
    ref_text: str | None = Field(default=None, description="What is said in it.")
    x_vector_only_mode: bool | None = Field(default=None, description="Take its timbre only.")

    @property
    def rendering(self) -> Rendering:
        """What becomes of the speech."""
        return Rendering(self.response_format, self.speed)

    @property
    def speaker(self) -> str | None:
        """The voice's name."""
        return self.voice.id if isinstance(self.voice, Voice) else self.voice


@router.post("/speech", response_class=Response, responses=STREAMED | _OF_SPEECH)
async def speech(
    request: Request, body: SpeechBody, service: CurrentService, owner: CurrentOwner
) -> Response:
    """Speak a line, as OpenAI's `audio.speech.create` asks for it."""
    backend = backend_of(body.model, service.studio)
    wanted = await _wanted(body, backend, service)
    asked = Asked(
        body.rendering,
        stream_format=body.stream_format,
        stream=body.stream,
        characters=len(body.input) + len(body.instructions),
    )
    return await answer(request, service.studio, backend, wanted, asked)


async def _wanted(
    body: SpeechBody, backend: str | None, service: Service
) -> SpeechRequest | CloneRequest:
    tts = service.studio.tts(backend)
    if body.task_type == "VoiceDesign":
        raise UnsupportedByBackend(
            "Voices cannot be designed in words here.",
            hint="Name a voice, or send ref_audio to clone one.",
        )
    sampling = service.sampling({"seed": body.seed, "max_new_tokens": body.max_new_tokens})
    _check_reference(body)
    if body.ref_audio is None:
        return await tts.request_for(
            body.input,
            speaker=body.speaker,
            language=body.language,
            instruct=body.instructions,
            sampling=sampling,
        )
    recording = await service.reader.read(_from_url(body.ref_audio), transcript=body.ref_text)
    return CloneRequest(
        body.input,
        recording,
        x_vector_only=bool(body.x_vector_only_mode),
        language=body.language or tts.defaults.language,
        sampling=sampling,
    )


def _check_reference(body: SpeechBody) -> None:
    """Refuse what would not be heard."""
    if body.ref_audio is not None and body.instructions:
        raise InvalidRequest(
            "A clone takes no instructions.",
            hint="It speaks in the manner of its recording; leave them out.",
        )
    if body.ref_audio is None and (body.ref_text is not None or body.x_vector_only_mode):
        raise InvalidRequest(
            "ref_text and x_vector_only_mode are about a recording, and there is none.",
            hint="Send it as ref_audio, a data: URL in base64.",
        )


def _from_url(url: str) -> bytes:
    """Return the bytes in a ``data:`` URL; no other kind of URL is ever followed."""
    head, _, data = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidReferenceAudio(
            "ref_audio is no data: URL in base64.",
            hint="Addresses and files are not fetched; send the recording itself.",
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidReferenceAudio("ref_audio is no valid base64.") from None
