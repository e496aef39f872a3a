"""Responses of ``/v1/audio/speech``: a file, a stream of bytes, or server-sent events."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from storycore_tts.domain.provenance import GENERATOR
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.entrypoints.http.answers import AUDIO, audio_answer, speech_headers
from storycore_tts.entrypoints.http.disconnects import while_connected
from storycore_tts.entrypoints.http.problems import as_error, problem_of
from storycore_tts.entrypoints.http.sending import SLOWEST_READER, within
from storycore_tts.errors import TTSError
from storycore_tts.services.rendering import JoinableRendering, Rendering
from storycore_tts.services.speech_service import EncodedPiece, SpeechService

_EVENTS = "text/event-stream"
# Formats that are streamed even if no stream was requested. The headers of wav and flac files
# contain the length, so they are sent when they are complete.
_WITHOUT_LENGTH = ("mp3", "opus", "aac", "pcm")
_FRAMES_A_SECOND = 12.5  # codec frames, which are the audio tokens of the model
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        **AUDIO[200],
        "content": {**AUDIO[200]["content"], _EVENTS: {}},
    }
}


@dataclass(frozen=True)
class StreamOptions:
    """The kind of response that a client requests.

    Args:
        rendering: Format and speed of the audio.
        stream_format: "sse", "audio", or None if not given.
        stream: Whether a stream of unspecified kind was requested.
        characters: Length of input and instructions, for the usage statistics.
    """

    rendering: Rendering
    stream_format: str | None
    stream: bool
    characters: int

    def kind(self, request: Request) -> str | None:
        """Return "sse" or "audio"; None if no stream was requested."""
        if self.stream_format is None and self.stream:
            return "sse" if _EVENTS in request.headers.get("accept", "") else "audio"
        return self.stream_format


async def answer(
    request: Request,
    speech_service: SpeechService,
    backend: str | None,
    wanted: SpeechRequest | CloneRequest,
    asked: StreamOptions,
) -> Response:
    """Generate speech and respond in the requested form.

    Args:
        request: The HTTP request.
        speech_service: The speech service.
        backend: Name of the backend; None: the default.
        wanted: The speech request.
        asked: The requested kind of response.

    Raises:
        TTSError: See ``SpeechService.stream``; raised only before the first audio, while the
            response can still have an error status.
    """
    how, rendering = asked.kind(request), asked.rendering
    if how is None and not (
        rendering.format in _WITHOUT_LENGTH and speech_service.should_stream(backend)
    ):
        work = speech_service.speak(backend, wanted, JoinableRendering(**asdict(rendering)))
        outcome = await while_connected(request, work)
        return audio_answer(outcome.audio, outcome.media_type, outcome.facts)
    # "stream" is not OpenAI's; some clients that send it cut 44 bytes off a wav.
    bare = asked.stream_format is None
    pieces = speech_service.stream(backend, wanted, rendering, bare_wav=bare)
    async with AsyncExitStack() as unless_sent:
        unless_sent.push_async_callback(pieces.aclose)  # type: ignore[attr-defined]
        # Until the first piece arrives, the response can still have an error status.
        first = await while_connected(request, _first(pieces))
        unless_sent.pop_all()  # from here on, the response closes the generator
    facts = speech_headers({**vars(first.chunk), "generator": GENERATOR})
    if how == "sse":
        return _Streaming(_events(first, pieces, asked), pieces, _EVENTS, facts)
    return _Streaming(_data(first, pieces), pieces, rendering.media_type, facts)


class _Streaming(StreamingResponse):
    """A streaming response that closes its source however the connection ends.

    Args:
        body: The data to send.
        work: The source of the data.
        media_type: Media type of the body.
        facts: Additional headers.
    """

    def __init__(
        self,
        body: AsyncIterator[bytes | str],
        work: AsyncIterator[EncodedPiece],
        media_type: str,
        facts: dict[str, str],
    ) -> None:
        headers = {"X-Accel-Buffering": "no", **facts}
        super().__init__(body, media_type=media_type, headers=headers)
        self._body = body
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._work), aclosing(self._body):  # type: ignore[type-var]
            # On an error the response ends without its terminating chunk, so that clients detect
            # that it is incomplete.
            with suppress(TTSError, TimeoutError):
                await super().__call__(scope, receive, within(SLOWEST_READER, send))


async def _first(pieces: AsyncIterator[EncodedPiece]) -> EncodedPiece:
    return await anext(pieces)


async def _data(first: EncodedPiece, rest: AsyncIterator[EncodedPiece]) -> AsyncIterator[bytes]:
    yield first.data
    async for piece in rest:
        yield piece.data


async def _events(
    first: EncodedPiece, rest: AsyncIterator[EncodedPiece], asked: StreamOptions
) -> AsyncIterator[str]:
    seconds = 0.0
    piece: EncodedPiece | None = first
    try:
        while piece is not None:
            seconds += piece.seconds
            yield _delta(piece, asked.rendering.format)
            piece = await anext(rest, None)
    except TTSError as error:
        yield _event("speech.audio.error", error=as_error(problem_of(error)))
        raise  # also cuts the body off: some clients skip unknown events
    yield _event("speech.audio.done", usage=_usage(asked, seconds))


def _delta(piece: EncodedPiece, response_format: str) -> str:
    audio = base64.b64encode(piece.data).decode()
    return _event("speech.audio.delta", audio=audio, response_format=response_format)


def _usage(asked: StreamOptions, seconds: float) -> dict[str, int]:
    """Return characters and codec frames: the number of text tokens is not known here."""
    given, made = asked.characters, round(seconds * _FRAMES_A_SECOND)
    return {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}


def _event(kind: str, **members: object) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n"
