"""Calls, middleware and the dispatcher that calls the adapter."""

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
from storycore_tts.pipeline.ignored import ignored_by
from storycore_tts.ports import Adapter, BackendStatus, Capabilities, SpeechChunk
from storycore_tts.ports.consent import ReferenceCache
from storycore_tts.ports.operations import Operation


@dataclass(frozen=True)
class Call:
    """One call of a port's method.

    Args:
        operation: The method and its port.
        request: The method's argument; None if it takes none.
        on_progress: Called with the job's progress.
    """

    operation: Operation
    request: Any = None
    on_progress: OnProgress | None = None


Send: TypeAlias = Callable[[Call], Awaitable[Any]]
"""Makes a call and returns the method's result; for streams, a ``StartedStream``."""


class Middleware(Protocol):
    """An async function or object that wraps calls."""

    def __call__(self, call: Call, send: Send) -> Awaitable[Any]:
        """Handle a call: call ``send`` for the next step, and return the result."""
        ...


@runtime_checkable
class Backend(Protocol):
    """An object that takes calls: an adapter with its middleware."""

    @property
    def capabilities(self) -> Capabilities:
        """Return which calls it supports."""
        ...

    def send(self, call: Call) -> Awaitable[Any]:
        """Make a call.

        Raises:
            UnsupportedByBackend: The adapter does not implement the port.
            TTSError: The errors of the port's method.
        """
        ...

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``."""
        ...

    async def aclose(self) -> None:
        """See ``Adapter.aclose``."""
        ...


class ClosableMiddleware:
    """Middleware with ``aclose``. A call that is ended by closing is not tried elsewhere."""

    def __init__(self) -> None:
        self.closings = 0
        """How often it was closed; after ``aclose``, the next call opens everything again."""

    async def __call__(self, call: Call, send: Send) -> Any:
        """Forward the call."""
        return await send(call)

    def details(self) -> Mapping[str, str]:
        """Return additions to ``BackendStatus.details``."""
        return {}

    async def aclose(self) -> None:
        """Release its resources. Safe to call twice."""
        self.closings += 1


class Pipeline:
    """A backend wrapped in middleware.

    Args:
        inner: The backend.
        middleware: The middleware, outermost first.
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
        """Return the capabilities of the inner backend."""
        return self._inner.capabilities

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``. The middleware adds its details."""
        status = await self._inner.status()
        added = {key: value for one in self._closable for key, value in one.details().items()}
        return replace(status, details={**status.details, **added})

    async def aclose(self) -> None:
        """Close the middleware, outermost first, then the backend."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._inner.aclose)
            for one in reversed(self._closable):
                stack.push_async_callback(one.aclose)


class Dispatcher:
    """Calls the adapter's methods, at the end of every pipeline.

    Args:
        adapter: The adapter.
        name: The adapter's name, for messages.
    """

    def __init__(self, adapter: Adapter, name: str) -> None:
        self._adapter = adapter
        self._name = name

    @property
    def capabilities(self) -> Capabilities:
        """Return the adapter's capabilities."""
        return self._adapter.capabilities

    async def send(self, call: Call) -> Any:
        """Call the port's method, reject bad audio and warn about ignored parameters.

        See ``audio_gate`` and ``ignored``.

        A cancelled call raises ``CancelledError`` even if the adapter raises another error instead.
        Otherwise that error would be retried or sent to a fallback. Python before 3.11 cannot
        detect this.
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
        return with_warnings(audio_gate.checked(result, call.request), ignored)

    def forget(self, reference_sha256: str) -> None:
        """Drop what the adapter prepared from a recording; see ``ReferenceCache.forget``."""
        if isinstance(self._adapter, ReferenceCache):
            self._adapter.forget(reference_sha256)

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``."""
        return await self._adapter.status()

    async def aclose(self) -> None:
        """See ``Adapter.aclose``."""
        await self._adapter.aclose()


def with_warnings(result: Any, warnings: tuple[str, ...]) -> Any:
    """Return speech, a chunk, a trained voice or a stream of chunks with added warnings.

    Any other result, such as a list of speakers, has no warnings and is returned unchanged.
    """
    if not warnings:
        return result
    if isinstance(result, StartedStream):
        return result.each(lambda chunk: with_warnings(chunk, warnings))
    if not hasattr(result, "warnings"):
        return result
    return replace(result, warnings=(*result.warnings, *warnings))


def backend_of(adapter: Adapter | Backend, name: str) -> Backend:
    """Wrap an adapter as a backend with this name; a backend is returned unchanged."""
    return adapter if isinstance(adapter, Backend) else Dispatcher(adapter, name)


@dataclass(frozen=True)
class StartedStream:
    """A stream whose first chunk has arrived, so any later error follows audio.

    Args:
        chunks: All chunks, including the first; closing it closes the adapter's stream.
    """

    chunks: AsyncGenerator[SpeechChunk, None]

    @classmethod
    async def of(cls, stream: AsyncIterator[SpeechChunk]) -> StartedStream:
        """Wait for the first chunk of a stream, or for the end of an empty one."""
        return cls(_joined(await anext(stream, None), stream))

    def each(
        self,
        change: Callable[[SpeechChunk], SpeechChunk] | None = None,
        *,
        within: AbstractContextManager[object] | None = None,
    ) -> StartedStream:
        """Return the stream with a function applied to each chunk.

        Args:
            change: Takes a chunk and returns its replacement; None: no change.
            within: A context that is exited when the stream ends, fails or is closed.
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
        close = getattr(rest, "aclose", None)  # not all iterators have it
        if close is not None:
            await close()


def _cancellations() -> int:
    """Return the current task's pending cancellation requests; always 0 before Python 3.11."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return 0 if cancelling is None else int(cancelling())
