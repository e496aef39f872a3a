"""Changing the backend while it is in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from storycore_tts.adapters.resilience.layers import Call, Layer
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.ports import Adapter, SpeechChunk

T = TypeVar("T")


@dataclass
class _Use:
    """How many calls an adapter has under way, and whether it gets new ones."""

    adapter: Adapter
    calls: int = 0
    retired: bool = False


class Switching(Layer):
    """Asks one adapter until it is given another; what is under way ends where it began.

    Args:
        inner: Whoever is asked first.
    """

    def __init__(self, inner: Adapter) -> None:
        super().__init__(inner)
        self._use = _Use(inner)
        self._closing: set[asyncio.Task[None]] = set()

    def switch(self, adapter: Adapter) -> None:
        """Ask another adapter from now on; the old one is closed when its last call has ended."""
        before, self._use = self._use, _Use(adapter)
        self._inner = adapter
        before.retired = True
        self._close_if_idle(before)

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
        """See ``Adapter.aclose``; waits for those that are being closed already."""
        await super().aclose()
        await asyncio.gather(*self._closing)

    async def _handle(self, call: Call[T]) -> T:
        with self._using() as adapter:
            return await call.to(adapter)

    @contextmanager
    def _using(self) -> Iterator[Adapter]:
        use = self._use
        use.calls += 1
        try:
            yield use.adapter
        finally:
            use.calls -= 1
            self._close_if_idle(use)

    def _close_if_idle(self, use: _Use) -> None:
        if use.retired and use.calls == 0:
            task = asyncio.get_running_loop().create_task(use.adapter.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
