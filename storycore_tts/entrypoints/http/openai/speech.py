"""``/v1/audio/speech``."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from storycore_tts.domain.errors import (
    InvalidReferenceAudio,
    InvalidRequest,
    UnsupportedByBackend,
    UnsupportedLanguage,
)
from storycore_tts.domain.languages import language_named
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.sampling import MAX_SEED
from storycore_tts.entrypoints.http.documented import OF_BACKENDS, OF_RECORDINGS, documented
from storycore_tts.entrypoints.http.openai.errors import OpenAIRoute, told_of_ignored
from storycore_tts.entrypoints.http.openai.models import backend_of, is_known
from storycore_tts.entrypoints.http.openai.streaming import STREAMED, Asked, answer
from storycore_tts.entrypoints.http.schemas import as_left_out
from storycore_tts.entrypoints.http.security.keys import CurrentOwner
from storycore_tts.entrypoints.http.service import CurrentService, Service
from storycore_tts.services.rendering import Rendering
from storycore_tts.services.speech_service import SpeechService

router = APIRouter(prefix="/v1/audio", tags=["openai"], route_class=OpenAIRoute)

_OF_SPEECH = documented(
    HTTPStatus.NOT_FOUND,
    *OF_RECORDINGS,
    *OF_BACKENDS,
)


_OTHER_NAMES = {"speaker": "voice", "transcript": "ref_text"}
_NONE = ("", "None")  # what clients send as instructions that have none


class Voice(BaseModel):
    """A voice as newer clients name it."""

    id: str


class SpeechBody(BaseModel):
    """OpenAI's fields, and below them vLLM-Omni's. Others are ignored; null means left out."""

    model_config = ConfigDict(
        extra="allow",  # to name them in the answer
        json_schema_extra={
            "examples": [
                {"model": "qwen3-tts", "input": "Once upon a time.", "voice": "Serena"},
            ]
        },
    )

    input: str = Field(description="What to say.")
    model: str | None = Field(default=None, description="See /v1/models.")
    voice: str | Voice | None = Field(
        default=None,
        description='A built-in or stored voice, or an id of voice_map such as alloy; "", null '
        "and default are the usual one. Also as speaker.",
    )
    instructions: str | None = Field(default=None, description="How to say it, in words.")
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4)] | None = 1.0
    stream_format: Literal["sse", "audio"] | None = None

    stream: bool | None = Field(
        default=None,
        description="Means stream_format audio, or sse if the request accepts text/event-stream.",
    )
    language: str | None = Field(
        default=None, description="Name, code or locale; one that is not spoken is ignored."
    )
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] | None = None
    task_type: Literal["CustomVoice", "Base", "VoiceDesign"] | None = None
    ref_audio: str | None = Field(
        default=None, description="A recording to clone, as a data: URL in base64."
    )
    ref_text: str | None = Field(
        default=None, description="What is said in it. Also as transcript."
    )
    x_vector_only_mode: bool | None = Field(default=None, description="Take its timbre only.")

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, body: Any) -> Any:
        return as_left_out(body, _OTHER_NAMES)

    @property
    def rendering(self) -> Rendering:
        """What becomes of the speech."""
        return Rendering(self.response_format or "mp3", self.speed or 1.0)

    @property
    def speaker(self) -> str | None:
        """The voice's name; None for the usual one."""
        name = self.voice.id if isinstance(self.voice, Voice) else self.voice or ""
        return None if name.strip().casefold() in ("", "default") else name

    @property
    def instruct(self) -> str:
        """How to say it; "" where nothing was said of that."""
        words = self.instructions or ""
        return "" if words.strip() in _NONE else words

    def takes_language(self) -> bool:
        """Tell whether the language is one that is spoken here, or none was named."""
        try:
            return not self.language or bool(language_named(self.language))
        except UnsupportedLanguage:
            return False

    def ignored(
        self, speech_service: SpeechService, wanted: SpeechRequest | CloneRequest
    ) -> list[str]:
        """Return the names of the fields that make no difference."""
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
    request: Request, body: SpeechBody, service: CurrentService, owner: CurrentOwner
) -> Response:
    """Speak a line, as OpenAI's `audio.speech.create` asks for it."""
    speech_service = service.speech
    backend = backend_of(body.model, speech_service)
    wanted = await _wanted(body, backend, service)
    asked = Asked(
        body.rendering,
        stream_format=body.stream_format,
        stream=bool(body.stream),
        characters=len(body.input) + len(body.instruct),
    )
    answered = await answer(request, speech_service, backend, wanted, asked)
    return told_of_ignored(answered, body.ignored(speech_service, wanted))


async def _wanted(
    body: SpeechBody, backend: str | None, service: Service
) -> SpeechRequest | CloneRequest:
    tts = service.speech.tts(backend)
    if body.task_type == "VoiceDesign":
        raise UnsupportedByBackend(
            "Voices cannot be designed in words here.",
            hint="Name a voice, or send ref_audio to clone one.",
        )
    sampling = service.sampling({"seed": body.seed, "max_new_tokens": body.max_new_tokens})
    language = body.language or None if body.takes_language() else None
    if body.ref_audio:
        recording = await service.reader.read(_from_url(body.ref_audio), transcript=body.ref_text)
        return CloneRequest(
            body.input,
            recording,
            x_vector_only=bool(body.x_vector_only_mode),
            language=language or tts.defaults.language,
            sampling=sampling,
            strip_markup=tts.defaults.strip_markup,
        )
    if body.ref_text or body.x_vector_only_mode:
        raise InvalidRequest(
            "ref_text and x_vector_only_mode are about a recording, and there is none.",
            hint="Send it as ref_audio, a data: URL in base64.",
        )
    wanted = await tts.request_for(
        body.input, speaker=body.speaker, language=language, sampling=sampling
    )
    # A clone speaks in the manner of its recording, and clients send instructions with any voice.
    if body.instruct and isinstance(wanted, SpeechRequest):
        return replace(wanted, instruct=body.instruct)
    return wanted


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
