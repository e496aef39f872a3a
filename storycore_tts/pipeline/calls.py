"""Calls, the middleware that they pass, and the adapter at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, aclosing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

from storycore_tts.domain.progress import OnProgress
from storycore_tts.errors import TTSError
from storycore_tts.pipeline import audio_gate
from storycore_tts.pipeline.ignored import ignored_by, with_warnings
from storycore_tts.ports import Adapter, BackendStatus, Capabilities, SpeechChunk
from storycore_tts.ports.operations import Operation


@dataclass(frozen=True)
class Call:
    """One use of a port.

    Args:
        operation: Which method of which port.
        request: Its argument; None for a method that takes none.
        on_progress: Hears how far the job is.
    """

    operation: Operation
    request: Any = None
    on_progress: OnProgress | None = None


Send: TypeAlias = Callable[[Call], Awaitable[Any]]
"""Makes a call, and returns what the port's method returns; of a stream, a ``StartedStream``."""


class Middleware(Protocol):
    """An async function, or an object, that calls pass on their way."""

    def __call__(self, call: Call, send: Send) -> Awaitable[Any]:
        """Take a call and the next step, and return the result."""
        ...


@runtime_checkable
class Backend(Protocol):
    """What takes calls: an adapter, and what was put around it."""

    @property
    def capabilities(self) -> Capabilities:
        """What calls it can do."""
        ...

    def send(self, call: Call) -> Awaitable[Any]:
        """Make a call.

        Raises:
            UnsupportedByBackend: The adapter lacks the port.
            TTSError: What the port's method raises.
        """
        ...

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``."""
        ...

    async def aclose(self) -> None:
        """See ``Adapter.aclose``."""
        ...


class ClosableMiddleware:
    """Middleware that takes part in closing; a call that closing ends is not tried elsewhere."""

    def __init__(self) -> None:
        self.closings = 0
        """How often it was closed: after ``aclose``, the next call opens everything again."""

    async def __call__(self, call: Call, send: Send) -> Any:
        """Pass the call on."""
        return await send(call)

    def details(self) -> Mapping[str, str]:
        """Return what to add to ``BackendStatus.details``."""
        return {}

    async def aclose(self) -> None:
        """Let go of what it holds; safe to call twice."""
        self.closings += 1


class Pipeline:
    """A backend behind middleware.

    Args:
        inner: The backend.
        middleware: What each call passes, the outermost first.
    """

    def __init__(self, inner: Backend, *middleware: Middleware) -> None:
        self._inner = inner
        self._closable = [one for one in middleware if isinstance(one, ClosableMiddleware)]
        send: Send = inner.send
        for one in reversed(middleware):
            send = partial(one, send=send)
        self.send = send

    @property
    def capabilities(self) -> Capabilities:
        """What the inner backend can do."""
        return self._inner.capabilities

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``; the middleware adds its details."""
        status = await self._inner.status()
        added = {key: value for one in self._closable for key, value in one.details().items()}
        return replace(status, details={**status.details, **added})

    async def aclose(self) -> None:
        """Close the middleware, the outermost first, and then the backend."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._inner.aclose)
            for one in reversed(self._closable):
                stack.push_async_callback(one.aclose)


class Dispatcher:
    """Calls the methods of an adapter: the end of every pipeline.

    Args:
        adapter: The adapter.
        name: Its name, for messages.
    """

    def __init__(self, adapter: Adapter, name: str) -> None:
        self._adapter = adapter
        self._name = name

    @property
    def capabilities(self) -> Capabilities:
        """What the adapter can do."""
        return self._adapter.capabilities

    async def send(self, call: Call) -> Any:
        """Call the port's method, refuse bad audio, and warn of parameters that have no effect.

        See ``audio_gate`` and ``ignored``.

        A call that was cancelled ends as cancelled, even if the adapter makes another error of it:
        otherwise that error would be retried, or another backend asked (from Python 3.11 on, which
        can tell).
        """
        operation, before = call.operation, _cancellations()
        if not operation.offered_by(self.capabilities, self._adapter):
            raise operation.unsupported_by(self._name)
        method = getattr(self._adapter, operation.name)
        arguments = () if call.request is None else (call.request,)
        options = {} if call.request is None else {"on_progress": call.on_progress}
        ignored = ignored_by(self._name, self.capabilities, call.request)
        try:
            if operation.streams:
                stream = await StartedStream.of(method(*arguments, **options))
                gate = audio_gate.StreamGate(call.request)
                return stream.each(lambda one: with_warnings(gate(one), ignored), within=gate)
            result = await method(*arguments, **options)
        except TTSError as error:
            if _cancellations() > before:
                raise asyncio.CancelledError from error
            raise
        return with_warnings(audio_gate.passed(result, call.request), ignored)

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``."""
        return await self._adapter.status()

    async def aclose(self) -> None:
        """See ``Adapter.aclose``."""
        await self._adapter.aclose()


def backend_of(adapter: Adapter | Backend, name: str) -> Backend:
    """Return what takes calls for an adapter of this name; a backend stays as it is."""
    return adapter if isinstance(adapter, Backend) else Dispatcher(adapter, name)


@dataclass(frozen=True)
class StartedStream:
    """A stream whose first chunk has arrived: an error from here on comes after audio.

    Args:
        chunks: All chunks, the first one included; closing it closes the adapter's stream.
    """

    chunks: AsyncGenerator[SpeechChunk, None]

    @classmethod
    async def of(cls, stream: AsyncIterator[SpeechChunk]) -> StartedStream:
        """Wait for the first chunk of a stream; one that ends without any has none."""
        return cls(_joined(await anext(stream, None), stream))

    def each(
        self,
        change: Callable[[SpeechChunk], SpeechChunk] | None = None,
        *,
        within: AbstractContextManager[object] | None = None,
    ) -> StartedStream:
        """Return the stream with a change to each chunk.

        Args:
            change: Takes a chunk, and returns the one that is handed on; None changes nothing.
            within: Is left when the stream ends, fails or is closed.
        """

        async def chunks() -> AsyncGenerator[SpeechChunk, None]:
            with within or nullcontext():
                async with aclosing(self.chunks):
                    async for chunk in self.chunks:
                        yield chunk if change is None else change(chunk)

        return StartedStream(chunks())


async def _joined(
    first: SpeechChunk | None, rest: AsyncIterator[SpeechChunk]
) -> AsyncGenerator[SpeechChunk, None]:
    try:
        if first is not None:
            yield first
        async for chunk in rest:
            yield chunk
    finally:
        close = getattr(rest, "aclose", None)  # iterators need not have one
        if close is not None:
            await close()


def _cancellations() -> int:
    """Return how often the current task was told to stop; always 0 before Python 3.11."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return 0 if cancelling is None else int(cancelling())
