"""Runs calls one at a time, each in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from storycore_tts.adapters.draft.espeak import SpeakCancelled
from storycore_tts.errors import BackendUnavailable

if TYPE_CHECKING:
    from storycore_tts.sound.samples import Samples

BACKEND = "draft"


class EspeakCall:
    """The work of one call, done in a thread.

    Args:
        closed: Returns whether the adapter is closed.
        on_fraction: Called on the event loop with the fraction done, 0..1.
    """

    def __init__(self, closed: Callable[[], bool], on_fraction: Callable[[float], None]) -> None:
        self._closed = closed
        self._on_fraction = on_fraction
        self._left = False
        self._reached = 0.0
        self._end: tuple[Samples, str] | BaseException | None = None
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()

    async def done(self) -> tuple[Samples, str]:
        """Wait for the result. If the caller is cancelled, the thread stops soon after."""
        reported = -1.0
        try:
            while self._end is None:
                if reported < self._reached < 1:
                    reported = self._reached
                    self._on_fraction(reported)
                await self._news.wait()
                self._news.clear()
            if isinstance(self._end, BaseException):
                raise self._end
        except SpeakCancelled:  # the adapter was closed; a cancelled caller never sees this
            raise closed_error() from None
        finally:
            self._left = True
        self._on_fraction(1.0)
        return self._end

    # In the thread

    def cancelled(self) -> bool:
        """Return whether to stop: call cancelled, adapter closed or program exiting."""
        return self._left or self._closed() or not threading.main_thread().is_alive()

    def reach(self, fraction: float) -> None:
        """Report the fraction done, in steps of 0.01."""
        if fraction >= self._reached + 0.01:
            self._reached = fraction
            self._wake()

    def end(self, result: tuple[Samples, str] | BaseException) -> None:
        """Make ``done`` return or raise."""
        self._end = result
        self._wake()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if error is not None:
            self.end(error)
        return isinstance(error, Exception)

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the event loop is closed
            self._left = True


class WaitingLine:
    """A first-come, first-served queue of calls, which may be on different event loops.

    Services with the same settings share an adapter, and may run loops in different threads.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def __len__(self) -> int:
        return len(self._calls)

    @asynccontextmanager
    async def turn(self, on_position: Callable[[int], None]) -> AsyncIterator[None]:
        """Wait until all earlier calls have ended.

        Args:
            on_position: Called at each change with the number of calls ahead of this one,
                including the running one.
        """
        moved = asyncio.Event()
        call = (asyncio.get_running_loop(), moved)
        self._calls.append(call)
        try:
            while (earlier := self._calls.index(call)) > 0:
                on_position(earlier)
                await moved.wait()
                moved.clear()
            yield
        finally:
            self._calls.remove(call)
            for loop, event in tuple(self._calls):
                with suppress(RuntimeError):  # the event loop is closed
                    loop.call_soon_threadsafe(event.set)


def closed_error() -> BackendUnavailable:
    """Return the error for calls on a closed adapter."""
    return BackendUnavailable("The draft adapter is closed.", backend=BACKEND, retryable=False)
