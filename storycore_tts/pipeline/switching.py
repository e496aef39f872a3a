"""Replaces the backend while it is in use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from storycore_tts.errors import BackendUnavailable
from storycore_tts.pipeline.calls import Backend, Call, StartedStream
from storycore_tts.ports import BackendStatus, Capabilities


@dataclass(eq=False)
class _Use:
    """A backend and the number of its calls in progress."""

    backend: Backend
    calls: int = 0


class Switching:
    """Sends calls to the current backend. A call ends on the backend where it started.

    Args:
        backend: The initial backend.
    """

    def __init__(self, backend: Backend) -> None:
        self._use = _Use(backend)
        self._retired: set[_Use] = set()  # they get no new calls, but have calls in progress
        self._closing: set[asyncio.Task[None]] = set()
        self._ended = False

    @property
    def capabilities(self) -> Capabilities:
        """Return the current backend's capabilities."""
        return self._use.backend.capabilities

    def switch(self, backend: Backend) -> None:
        """Use another backend for new calls; the old one is closed when its last call ends."""
        before, self._use = self._use, _Use(backend)
        self._retired.add(before)
        self._close_if_idle(before)

    def refuse(self) -> None:
        """Reject new calls; calls in progress continue until ``aclose``."""
        self._ended = True

    async def send(self, call: Call) -> Any:
        """Make a call. A stream is in progress until it ends.

        Raises:
            BackendUnavailable: ``refuse`` was called.
        """
        with ExitStack() as stack:
            backend = stack.enter_context(self._using())
            result = await backend.send(call)
            if isinstance(result, StartedStream):
                return result.each(within=stack.pop_all())
            return result

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``. Reports the current backend's status."""
        return await self._use.backend.status()

    async def aclose(self) -> None:
        """See ``Adapter.aclose``. Also closes replaced backends with calls in progress."""
        for use in tuple(self._retired):
            self._close(use)
        try:
            await self._use.backend.aclose()
        finally:
            await self._closed()

    @contextmanager
    def _using(self) -> Iterator[Backend]:
        if self._ended:
            raise BackendUnavailable("This speech service is closed.", retryable=False)
        use = self._use
        use.calls += 1
        try:
            yield use.backend
        finally:
            use.calls -= 1
            self._close_if_idle(use)

    def _close_if_idle(self, use: _Use) -> None:
        if use in self._retired and use.calls == 0:
            self._close(use)

    def _close(self, use: _Use) -> None:
        self._retired.discard(use)
        task = asyncio.get_running_loop().create_task(use.backend.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _closed(self) -> None:
        """Wait for backends that are closing on this loop. Cancelling the wait does not stop them.

        Raises:
            TTSError: Closing a backend failed.
        """
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._closing if task.get_loop() is loop]
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()
