"""Knowing that a backend is down, so that nobody waits for it to say so again."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress
from typing import Protocol, TypeVar

from storycore_tts.adapters.resilience.layers import Call, Layer
from storycore_tts.domain.errors import (
    BackendTimeout,
    BackendUnavailable,
    NodePackMissing,
    TTSError,
)
from storycore_tts.domain.events import AvailabilityChanged, Listener
from storycore_tts.ports import Adapter

T = TypeVar("T")

_OF_REACHING_IT = ("connect", "request")  # the waits that say something about the backend itself


class BreakerPolicy(Protocol):
    """What ``tts.qwen.breaker`` says; see ``BreakerConfig``."""

    @property
    def failures(self) -> int:
        """So many failed calls in a row, and the backend counts as down."""
        ...

    @property
    def probe_seconds(self) -> float:
        """How often a backend that is down is looked at."""
        ...


class Breaker(Layer):
    """Asks an adapter only while it is up; one that is down costs a call nothing.

    It opens after some failures in a row, whoever's calls they were. From then on a task looks at
    the backend's ``status()`` in the background, and closes it when that says "reachable". The task
    runs on the event loop of a caller, and moves to another caller's when that one ends.

    Args:
        inner: Whoever is asked.
        name: Its name, for messages and events.
        policy: When it opens, and how often it looks.
        tell: Hears when it opens and closes.
    """

    def __init__(self, inner: Adapter, *, name: str, policy: BreakerPolicy, tell: Listener) -> None:
        super().__init__(inner)
        self._name = name
        self._policy = policy
        self._tell = tell
        self._lock = threading.Lock()
        self._failures = 0
        self._down: BackendUnavailable | None = None
        self._probe: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the backend counts as down."""
        return self._down is not None

    async def aclose(self) -> None:
        """See ``Adapter.aclose``; also ends the looking."""
        try:
            await self._look_no_more()
        finally:
            await super().aclose()

    async def _handle(self, call: Call[T]) -> T:
        if self._down is not None:
            self._keep_looking()
            raise self._known_to_be_down(self._down)
        closings = self._closings
        try:
            result = await super()._handle(call)
        except BackendUnavailable as error:
            if closings == self._closings and _says_that_it_is_down(error):
                self._failed(call, error)
            raise
        except TTSError:
            self._failures = 0  # it answers, if not what was hoped for
            raise
        self._failures = 0
        return result

    def _failed(self, call: Call[T], error: BackendUnavailable) -> None:
        with self._lock:
            self._failures += 1
            if self._down is not None or self._failures < self._policy.failures:
                return
            self._down = error
        self._tell(AvailabilityChanged("", self._name, available=False, error=error))
        self._keep_looking()

    def _keep_looking(self) -> None:
        """Start the task that looks, unless one runs."""
        with self._lock:
            if self._probe is None or self._probe.done() or self._probe.get_loop().is_closed():
                self._probe = asyncio.get_running_loop().create_task(self._look())

    async def _look_no_more(self) -> None:
        probe, self._probe = self._probe, None
        if probe is None or probe.done():
            return
        loop = probe.get_loop()
        if loop is asyncio.get_running_loop():
            probe.cancel()
            await asyncio.wait([probe])
        else:
            with suppress(RuntimeError):  # it is closed, and the probe over
                loop.call_soon_threadsafe(probe.cancel)

    async def _look(self) -> None:
        while self._down is not None:
            await asyncio.sleep(self._policy.probe_seconds * random.uniform(0.75, 1.0))
            if (await self._inner.status()).reachable:
                with self._lock:
                    self._failures, self._down = 0, None
                self._tell(AvailabilityChanged("", self._name, available=True))

    def _known_to_be_down(self, error: BackendUnavailable) -> BackendUnavailable:
        every = self._policy.probe_seconds
        return BackendUnavailable(
            f"{self._name} is down, and is looked at every {every:g} s. It said: {error.message}",
            hint=error.hint,
            backend=self._name,
            retryable=False,
            retry_after=every,
        )


def _says_that_it_is_down(error: BackendUnavailable) -> bool:
    """Tell whether an error is about the backend, and not about one workflow or one job."""
    if isinstance(error, BackendTimeout):
        return error.wait in _OF_REACHING_IT
    return not isinstance(error, NodePackMissing)
