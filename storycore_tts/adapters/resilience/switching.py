"""Changing the backend while it is in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from storycore_tts.adapters.resilience.layers import Call, Layer
from storycore_tts.domain.errors import BackendUnavailable
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.ports import Adapter, SpeechChunk

T = TypeVar("T")


@dataclass(eq=False)
class _Use:
    """How many calls an adapter has under way."""

    adapter: Adapter
    calls: int = 0


class Switching(Layer):
    """Asks one adapter until it is given another; what is under way ends where it began.

    Args:
        inner: Whoever is asked first.
    """

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner)
        self._use = _Use(inner)
        self._retired: set[_Use] = set()  # they get no new calls, and still have some under way
        self._closing: set[asyncio.Task[None]] = set()
        self._ended = False

    def switch(self, adapter: Adapter) -> None:
        """Ask another adapter from now on; the old one is closed when its last call has ended."""
        before, self._use = self._use, _Use(adapter)
        self._inner = adapter
        self._retired.add(before)
        self._close_if_idle(before)

    def refuse(self) -> None:
        """Refuse all calls from now on; what is under way goes on until ``aclose``."""
        self._ended = True

    async def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """See ``StreamingSynthesizer.synthesize_stream``; a stream ends where it began, too."""
        with self._using() as adapter:
            stream = Layer(adapter).synthesize_stream(request, on_progress=on_progress)
            async with aclosing(cast(Any, stream)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def aclose(self) -> None:
        """See ``Adapter.aclose``; closes those before it too, with what they have under way."""
        for use in tuple(self._retired):
            self._close(use)
        try:
            await super().aclose()
        finally:
            await self._closed()

    async def _handle(self, call: Call[T]) -> T:
        with self._using() as adapter:
            return await call.to(adapter)

    @contextmanager
    def _using(self) -> Iterator[Adapter]:
        if self._ended:
            raise BackendUnavailable("This speech service is closed.", retryable=False)
        use = self._use
        use.calls += 1
        try:
            yield use.adapter
        finally:
            use.calls -= 1
            self._close_if_idle(use)

    def _close_if_idle(self, use: _Use) -> None:
        if use in self._retired and use.calls == 0:
            self._close(use)

    def _close(self, use: _Use) -> None:
        self._retired.discard(use)
        task = asyncio.get_running_loop().create_task(use.adapter.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _closed(self) -> None:
        """Wait for those that are being closed on this loop; a caller who gives up breaks none off.

        Raises:
            TTSError: What one of them raises.
        """
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._closing if task.get_loop() is loop]
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()
