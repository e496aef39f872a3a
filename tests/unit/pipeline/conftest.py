"""An adapter that does as it is told, a listener, and the ports over a backend."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from storycore_tts.domain.events import Event
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.speech import Speech, Timings, TrainedVoice
from storycore_tts.domain.voices import Speaker
from storycore_tts.pipeline.calls import Pipeline, backend_of
from storycore_tts.ports import BackendStatus, Capabilities, SpeechChunk
from storycore_tts.services.speech import Defaults, TextToSpeech


class Scripted:
    """Ends each call as the script says, and those after it well; a number stands for "well"."""

    def __init__(self, name: str, *script: BaseException | float) -> None:
        self.name = name
        self.script = deque(script)
        self.calls: list[tuple[str, Any]] = []
        can = ("speech", "cloning", "training", "checkpoints", "seeds", "streaming")
        self.capabilities = Capabilities(**dict.fromkeys(can, True))
        self.reachable, self.looks, self.closed = True, 0, 0
        self.looked = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.chunks_before_an_error = 0

    async def _next(self, operation: str, request: Any, on_progress: Any = None) -> None:
        self.calls.append((operation, request))
        if on_progress is not None:
            on_progress(Progress(Stage.GENERATING))
        if self.gate is not None:
            await self.gate.wait()
        if self.script:
            error = self.script.popleft()
            if isinstance(error, BaseException):
                raise error

    def _speech(self) -> Speech:
        facts = {"backend": self.name, "model": "m", "job_id": "job-1"}
        samples = np.full(24_000, 0.5, np.float32)
        return Speech(samples, 24_000, timings=Timings(0.1, 0.2, 0.3), **facts)

    async def synthesize(self, request: Any, *, on_progress: Any = None) -> Speech:
        await self._next("synthesize", request, on_progress)
        return self._speech()

    async def clone(self, request: Any, *, on_progress: Any = None) -> Speech:
        await self._next("clone", request, on_progress)
        return self._speech()

    async def speakers(self) -> list[Speaker]:
        await self._next("speakers", None)
        return [Speaker(self.name)]

    async def train(self, request: Any, *, on_progress: Any = None) -> TrainedVoice:
        await self._next("train", request, on_progress)
        return TrainedVoice("/out", "mia", 1, (), self.name)

    async def synthesize_stream(self, request: Any, *, on_progress: Any = None) -> Any:
        for number in range(3):
            if number == self.chunks_before_an_error:
                await self._next("synthesize_stream", request, on_progress)
            yield SpeechChunk(
                np.full(2400, 0.5, np.float32), 24_000, number / 10, seed=1, backend=self.name
            )

    async def status(self) -> BackendStatus:
        self.looks += 1
        self.looked.set()
        return BackendStatus(self.name, self.reachable)

    async def aclose(self) -> None:
        self.closed += 1


class Heard(list[Event]):
    """All events, and those of one kind."""

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self if type(event) is kind]


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Let the event loop take steps until a condition holds; the test's own timeout ends it."""

    async def wait(condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0)

    return wait


@pytest.fixture
def swallows() -> Callable[[Scripted, Exception], None]:
    """Make an adapter answer its cancellation with an error, which no adapter may do."""
    if sys.version_info < (3, 11):
        pytest.skip("before Python 3.11, a task cannot tell that it was cancelled")

    def rig(adapter: Scripted, error: Exception) -> None:
        async def synthesize(request: Any, *, on_progress: Any = None) -> Speech:
            adapter.calls.append(("synthesize", request))
            if len(adapter.calls) > 1:
                return adapter._speech()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise error from None
            raise AssertionError("nothing else ends the wait")

        adapter.synthesize = synthesize  # type: ignore[method-assign]

    return rig


@pytest.fixture
def ports() -> Callable[..., TextToSpeech]:
    """Put middleware around an adapter or a backend, the outermost first, and offer its ports."""

    def around(adapter: Any, *middleware: Any) -> TextToSpeech:
        backend = Pipeline(backend_of(adapter, "scripted"), *middleware)
        return TextToSpeech(backend, name="scripted", defaults=Defaults())

    return around


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    return Scripted
