"""``/v1/audio/speech``."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from storycore_tts.domain.errors import (
    InvalidReferenceAudio,
    InvalidRequest,
    TTSError,
    UnsupportedByBackend,
)
from storycore_tts.domain.rendering import Rendering
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.sampling import MAX_SEED
from storycore_tts.entrypoints.http.answers import AUDIO, audio_answer
from storycore_tts.entrypoints.http.disconnects import while_connected
from storycore_tts.entrypoints.http.openai.errors import OpenAIRoute, as_error
from storycore_tts.entrypoints.http.openai.models import backend_of
from storycore_tts.entrypoints.http.problems import (
    OF_BACKENDS,
    OF_RECORDINGS,
    documented,
    problem_of,
)
from storycore_tts.entrypoints.http.security.keys import CurrentOwner
from storycore_tts.entrypoints.http.sending import SLOWEST_READER, within
from storycore_tts.entrypoints.http.service import CurrentService, Service
from storycore_tts.services.studio import Piece

router = APIRouter(prefix="/v1/audio", tags=["openai"], route_class=OpenAIRoute)

_FRAMES_A_SECOND = 12.5  # codec frames, the model's tokens of sound
_OF_SPEECH = documented(
    HTTPStatus.NOT_FOUND,
    *OF_RECORDINGS,
    *OF_BACKENDS,
)
_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        **AUDIO[200],
        "content": {**AUDIO[200]["content"], "text/event-stream": {}},
    }
}


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

    stream: bool = Field(default=False, description="The same as stream_format sse.")
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


@router.post("/speech", response_class=Response, responses=_STREAMED | _OF_SPEECH)
async def speech(
    request: Request, body: SpeechBody, service: CurrentService, owner: CurrentOwner
) -> Response:
    """Speak a line, as OpenAI's `audio.speech.create` asks for it."""
    backend = backend_of(body.model, service.studio)
    wanted = await _wanted(body, backend, service)
    how = body.stream_format or ("sse" if body.stream else None)
    if how is None:
        work = service.studio.speak(backend, wanted, body.rendering)
        outcome = await while_connected(request, work)
        return audio_answer(outcome.audio, outcome.media_type, outcome.facts)
    pieces = service.studio.stream(backend, wanted, body.rendering)
    async with AsyncExitStack() as unless_sent:
        unless_sent.push_async_callback(pieces.aclose)  # type: ignore[attr-defined]
        # Until the first piece is there, an error can still have a status of its own.
        first = await while_connected(request, _first(pieces))
        unless_sent.pop_all()  # from here on, the answer ends the work
    if how == "audio":
        return _Streaming(_data(first, pieces), pieces, body.rendering.media_type)
    return _Streaming(_events(first, pieces, body), pieces, "text/event-stream")


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
        strip_markup=tts.defaults.strip_markup,
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


class _Streaming(StreamingResponse):
    """Ends the work behind it however the connection ends.

    Args:
        body: What is sent.
        work: What it is made from.
        media_type: Of the body.
    """

    def __init__(
        self, body: AsyncIterator[bytes | str], work: AsyncIterator[Piece], media_type: str
    ) -> None:
        super().__init__(body, media_type=media_type, headers={"X-Accel-Buffering": "no"})
        self._body = body
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._work), aclosing(self._body):  # type: ignore[type-var]
            # Left without its end, the answer is cut off, and nobody takes it for a whole one.
            with suppress(TTSError, TimeoutError):
                await super().__call__(scope, receive, within(SLOWEST_READER, send))


async def _first(pieces: AsyncIterator[Piece]) -> Piece:
    return await anext(pieces)


async def _data(first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    yield first.data
    async for piece in rest:
        yield piece.data


async def _events(first: Piece, rest: AsyncIterator[Piece], body: SpeechBody) -> AsyncIterator[str]:
    seconds = 0.0
    piece: Piece | None = first
    try:
        while piece is not None:
            seconds += piece.seconds
            yield _delta(piece, body.response_format)
            piece = await anext(rest, None)
    except TTSError as error:
        yield _event("speech.audio.error", error=as_error(problem_of(error)))
        return
    yield _event("speech.audio.done", usage=_usage(body, seconds))


def _delta(piece: Piece, response_format: str) -> str:
    audio = base64.b64encode(piece.data).decode()
    return _event("speech.audio.delta", audio=audio, response_format=response_format)


def _usage(body: SpeechBody, seconds: float) -> dict[str, int]:
    """Count characters in and codec frames out: the model's tokens of text are not known here."""
    given, made = len(body.input) + len(body.instructions), round(seconds * _FRAMES_A_SECOND)
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}


def _event(kind: str, **members: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"
