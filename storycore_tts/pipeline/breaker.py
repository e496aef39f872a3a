"""A circuit breaker: rejects calls at once while a backend is unavailable."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from storycore_tts.domain.events import AvailabilityChanged, Listener
from storycore_tts.errors import (
    BackendTimeout,
    BackendUnavailable,
    NodePackMissing,
    TTSError,
)
from storycore_tts.pipeline.calls import Call, ClosableMiddleware, Send
from storycore_tts.ports import BackendStatus

_OF_REACHING_IT = ("connect", "request")  # timeouts that indicate a problem with the backend itself


class BreakerPolicy(Protocol):
    """The settings ``tts.qwen.breaker``; see ``BreakerConfig``."""

    @property
    def failures(self) -> int:
        """Number of consecutive failures after which the backend counts as unavailable."""
        ...

    @property
    def probe_seconds(self) -> float:
        """Seconds between status probes of an unavailable backend."""
        ...


class Breaker(ClosableMiddleware):
    """Forwards calls while the backend is available, and rejects them at once otherwise.

    It opens after a number of consecutive failures of any calls. Then a background task probes the
    backend's status, and closes the breaker when the backend is reachable. The task runs on the
    event loop of a caller, and moves to another caller's loop when that one ends.

    Args:
        name: The backend's name, for messages and events.
        probe: Reads the backend's status.
        policy: When to open, and how often to probe.
        tell: Receives an event when the breaker opens or closes.
    """

    def __init__(
        self,
        name: str,
        *,
        probe: Callable[[], Awaitable[BackendStatus]],
        policy: BreakerPolicy,
        tell: Listener,
    ) -> None:
        super().__init__()
        self._name = name
        self._probe = probe
        self._policy = policy
        self._tell = tell
        self._lock = threading.Lock()
        self._failures = 0
        self._last_error: BackendUnavailable | None = None  # while it is open
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the backend counts as unavailable."""
        return self._last_error is not None

    async def aclose(self) -> None:
        """Stop probing."""
        await super().aclose()
        probing, self._probing = self._probing, None
        if probing is None or probing.done():
            return
        loop = probing.get_loop()
        if loop is asyncio.get_running_loop():
            probing.cancel()
            await asyncio.wait([probing])
        else:
            with suppress(RuntimeError):  # the loop is closed, so probing has ended
                loop.call_soon_threadsafe(probing.cancel)

    async def __call__(self, call: Call, send: Send) -> Any:
        """Reject the call while the backend is unavailable; otherwise count its failures."""
        if self._last_error is not None:
            self._keep_probing()
            raise self._refusal(self._last_error)
        closings = self.closings
        try:
            result = await send(call)
        except BackendUnavailable as error:
            if closings == self.closings and _is_about_the_backend(error):
                self._failed(error)
            raise
        except TTSError:
            self._failures = 0  # the backend answered, even if with an error
            raise
        self._failures = 0
        return result

    def _failed(self, error: BackendUnavailable) -> None:
        with self._lock:
            self._failures += 1
            if self._last_error is not None or self._failures < self._policy.failures:
                return
            self._last_error = error
        self._tell(AvailabilityChanged("", self._name, available=False, error=error))
        self._keep_probing()

    def _keep_probing(self) -> None:
        """Start the probing task, unless it is running."""
        with self._lock:
            task = self._probing
            if task is None or task.done() or task.get_loop().is_closed():
                self._probing = asyncio.get_running_loop().create_task(self._probe_until_back())

    async def _probe_until_back(self) -> None:
        while self._last_error is not None:
            await asyncio.sleep(self._policy.probe_seconds * random.uniform(0.75, 1.0))
            with suppress(TTSError):  # a status should not raise, but third-party adapters may
                if (await self._probe()).reachable:
                    with self._lock:
                        self._failures, self._last_error = 0, None
                    self._tell(AvailabilityChanged("", self._name, available=True))

    def _refusal(self, error: BackendUnavailable) -> BackendUnavailable:
        seconds = self._policy.probe_seconds
        return BackendUnavailable(
            f"{self._name} is unavailable (next probe in {seconds:g} s). "
            f"Last error: {error.message}",
            hint=error.hint,
            backend=self._name,
            retryable=False,  # by ``Retry``; ``Fallback`` tells the caller to retry later
            retry_after=seconds,
        )


def _is_about_the_backend(error: BackendUnavailable) -> bool:
    """Return whether an error concerns the backend, rather than one workflow or job."""
    if isinstance(error, BackendTimeout):
        return error.wait in _OF_REACHING_IT
    return not isinstance(error, NodePackMissing)
