"""How ``/v1/audio/speech`` answers: as a whole file, as bytes that flow, or as events."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from storycore_tts.domain.errors import TTSError
from storycore_tts.domain.rendering import Rendering
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.entrypoints.http.answers import AUDIO, audio_answer
from storycore_tts.entrypoints.http.disconnects import while_connected
from storycore_tts.entrypoints.http.openai.errors import as_error
from storycore_tts.entrypoints.http.problems import problem_of
from storycore_tts.entrypoints.http.sending import SLOWEST_READER, within
from storycore_tts.services.studio import Piece, Studio

_FRAMES_A_SECOND = 12.5  # codec frames, the model's tokens of sound
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        **AUDIO[200],
        "content": {**AUDIO[200]["content"], "text/event-stream": {}},
    }
}


@dataclass(frozen=True)
class Asked:
    """How a client wants its answer.

    Args:
        rendering: What becomes of the speech.
        stream_format: "sse", "audio", or None where it was not said.
        stream: Whether a stream was asked for without saying of which kind.
        characters: Of input and instructions, for the usage.
    """

    rendering: Rendering
    stream_format: str | None
    stream: bool
    characters: int


async def answer(
    request: Request,
    studio: Studio,
    backend: str | None,
    wanted: SpeechRequest | CloneRequest,
    asked: Asked,
) -> Response:
    """Speak, and answer as the client wants it.

    Raises:
        TTSError: See ``Studio.stream``; until the first sound is there, so that the error has a
            status of its own.
    """
    how = asked.stream_format or ("sse" if asked.stream else None)
    if how is None:
        outcome = await while_connected(request, studio.speak(backend, wanted, asked.rendering))
        return audio_answer(outcome.audio, outcome.media_type, outcome.facts)
    pieces = studio.stream(backend, wanted, asked.rendering)
    async with AsyncExitStack() as unless_sent:
        unless_sent.push_async_callback(pieces.aclose)  # type: ignore[attr-defined]
        # Until the first piece is there, an error can still have a status of its own.
        first = await while_connected(request, _first(pieces))
        unless_sent.pop_all()  # from here on, the answer ends the work
    if how == "audio":
        return _Streaming(_data(first, pieces), pieces, asked.rendering.media_type)
    return _Streaming(_events(first, pieces, asked), pieces, "text/event-stream")


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


async def _events(first: Piece, rest: AsyncIterator[Piece], asked: Asked) -> AsyncIterator[str]:
    seconds = 0.0
    piece: Piece | None = first
    try:
        while piece is not None:
            seconds += piece.seconds
            yield _delta(piece, asked.rendering.format)
            piece = await anext(rest, None)
    except TTSError as error:
        yield _event("speech.audio.error", error=as_error(problem_of(error)))
        return
    yield _event("speech.audio.done", usage=_usage(asked, seconds))


def _delta(piece: Piece, response_format: str) -> str:
    audio = base64.b64encode(piece.data).decode()
    return _event("speech.audio.delta", audio=audio, response_format=response_format)


def _usage(asked: Asked, seconds: float) -> dict[str, int]:
    """Count characters in and codec frames out: the model's tokens of text are not known here."""
    given, made = asked.characters, round(seconds * _FRAMES_A_SECOND)
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}


def _event(kind: str, **members: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"
