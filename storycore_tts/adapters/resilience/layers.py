"""Adapters around adapters: each has all ports, and one place where every call passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, cast

from storycore_tts.domain.errors import TTSError, UnsupportedByBackend
from storycore_tts.domain.events import Operation
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import CloneRequest, SpeechRequest, TrainingRequest
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.domain.voices import Speaker
from storycore_tts.ports import (
    Adapter,
    BackendStatus,
    Capabilities,
    SpeechChunk,
    SpeechSynthesizer,
    StreamingSynthesizer,
    VoiceCloner,
    VoiceTrainer,
)

T = TypeVar("T")
Request = SpeechRequest | CloneRequest | TrainingRequest

_PORTS: dict[Operation, tuple[type, str]] = {
    "synthesize": (SpeechSynthesizer, "speech"),
    "speakers": (SpeechSynthesizer, "speech"),
    "clone": (VoiceCloner, "cloning"),
    "train": (VoiceTrainer, "training"),
    "synthesize_stream": (StreamingSynthesizer, "streaming"),
}


def _cancellations() -> int:
    """Return how often the current task was told to stop; always 0 before Python 3.11."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return 0 if cancelling is None else int(cancelling())


@dataclass(frozen=True)
class Call(Generic[T]):
    """Something that is asked of a port, and that any adapter can be asked.

    Args:
        operation: Name of the port's method.
        request: What it is given; None for ``speakers``.
        put: Asks an adapter that has the port.
    """

    operation: Operation
    request: Request | None
    put: Callable[[Adapter], Awaitable[T]]

    def offered_by(self, adapter: Adapter) -> bool:
        """Tell whether an adapter has the port for this."""
        port, capability = _PORTS[self.operation]
        return isinstance(adapter, port) and bool(getattr(adapter.capabilities, capability))

    async def to(self, adapter: Adapter) -> T:
        """Ask an adapter.

        A call that was cancelled ends as cancelled, even if the adapter makes another error of it:
        otherwise that error would be retried, or another backend asked (from Python 3.11 on, which
        can tell).

        Raises:
            UnsupportedByBackend: It lacks the port.
            TTSError: What the port's method raises.
        """
        if not self.offered_by(adapter):
            raise UnsupportedByBackend(f"This backend has no {self.operation}.")
        before = _cancellations()
        try:
            return await self.put(adapter)
        except TTSError as error:
            if _cancellations() > before:
                raise asyncio.CancelledError from error
            raise


class Layer:
    """All ports, on top of another adapter that has them.

    A subclass says in ``_handle`` what happens to a call. Of a stream, that is everything up to its
    first chunk: what was heard cannot be taken back, so the rest just passes.

    Args:
        inner: Whoever is asked in the end.
    """

    def __init__(self, inner: Adapter) -> None:
        self._inner = inner
        self._closings = 0  # so far: a call that one of them ends says nothing of the backend

    @property
    def capabilities(self) -> Capabilities:
        """What the inner adapter can do."""
        return self._inner.capabilities

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``SpeechSynthesizer.synthesize``."""

        async def put(adapter: Adapter) -> Speech:
            port = cast(SpeechSynthesizer, adapter)
            return await port.synthesize(request, on_progress=on_progress)

        return await self._handle(Call("synthesize", request, put))

    async def speakers(self) -> list[Speaker]:
        """See ``SpeechSynthesizer.speakers``."""

        async def put(adapter: Adapter) -> list[Speaker]:
            return await cast(SpeechSynthesizer, adapter).speakers()

        return await self._handle(Call("speakers", None, put))

    async def clone(
        self, request: CloneRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``VoiceCloner.clone``."""

        async def put(adapter: Adapter) -> Speech:
            return await cast(VoiceCloner, adapter).clone(request, on_progress=on_progress)

        return await self._handle(Call("clone", request, put))

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """See ``VoiceTrainer.train``."""

        async def put(adapter: Adapter) -> TrainedVoice:
            return await cast(VoiceTrainer, adapter).train(request, on_progress=on_progress)

        return await self._handle(Call("train", request, put))

    async def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """See ``StreamingSynthesizer.synthesize_stream``."""

        async def put(adapter: Adapter) -> Begun:
            port = cast(StreamingSynthesizer, adapter)
            return await Begun.of(port.synthesize_stream(request, on_progress=on_progress))

        begun = await self._handle(Call("synthesize_stream", request, put))
        async with aclosing(begun.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``."""
        return await self._inner.status()

    async def aclose(self) -> None:
        """See ``Adapter.aclose``."""
        self._closings += 1
        await self._inner.aclose()

    async def _handle(self, call: Call[T]) -> T:
        return await call.to(self._inner)


@dataclass(frozen=True)
class Begun:
    """A stream whose first chunk is there; None for a stream that ended without any.

    Args:
        first: The first chunk.
        rest: Those that follow.
        warnings: What is added to those of each chunk.
    """

    first: SpeechChunk | None
    rest: AsyncIterator[SpeechChunk]
    warnings: tuple[str, ...] = ()

    @classmethod
    async def of(cls, stream: AsyncIterator[SpeechChunk]) -> Begun:
        """Wait for the first chunk of a stream."""
        return cls(await anext(stream, None), stream)

    async def chunks(self) -> AsyncGenerator[SpeechChunk, None]:
        """Hand all chunks on; closing this closes the stream."""
        try:
            if self.first is not None:
                yield self._warned(self.first)
            async for chunk in self.rest:
                yield self._warned(chunk)
        finally:
            close = getattr(self.rest, "aclose", None)  # iterators need not have one
            if close is not None:
                await close()

    def _warned(self, chunk: SpeechChunk) -> SpeechChunk:
        return replace(chunk, warnings=(*chunk.warnings, *self.warnings))
