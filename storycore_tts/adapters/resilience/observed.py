"""Telling those who watch when a request comes in, and how it ended."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from storycore_tts.adapters.resilience.layers import Call, Layer
from storycore_tts.domain.events import Listener, Operation, RequestFinished, RequestStarted
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import CloneRequest, SpeechRequest
from storycore_tts.domain.speech import Speech, Timings, TrainedVoice
from storycore_tts.ports import Adapter, SpeechChunk

T = TypeVar("T")

_ids = itertools.count(1)


@dataclass
class _Account:
    """What is known of a request so far."""

    backend: str
    audio_seconds: float = 0.0
    timings: Timings | None = None
    job_id: str = ""

    def add(self, result: object) -> None:
        """Take down what a result says of itself."""
        if isinstance(result, Speech | TrainedVoice):
            self.backend = result.backend
        if isinstance(result, Speech):
            self.audio_seconds = result.duration
            self.timings, self.job_id = result.timings, result.job_id


class Observed(Layer):
    """Tells of every request, whatever becomes of it.

    Args:
        inner: Whoever is asked.
        backend: Says what the configured backend is called at the moment.
        tell: Hears of it.
    """

    def __init__(self, inner: Adapter, *, backend: Callable[[], str], tell: Listener) -> None:
        super().__init__(inner)
        self._backend = backend
        self._tell = tell

    async def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """See ``StreamingSynthesizer.synthesize_stream``; told of as a whole."""
        stream = super().synthesize_stream(request, on_progress=on_progress)
        with self._account("synthesize_stream") as account:
            async with aclosing(cast(Any, stream)) as chunks:
                async for chunk in chunks:
                    account.audio_seconds += chunk.duration
                    account.backend = chunk.backend or account.backend
                    yield chunk

    async def _handle(self, call: Call[T]) -> T:
        if call.operation == "synthesize_stream":
            return await super()._handle(call)
        with self._account(call.operation) as account:
            result = await super()._handle(call)
            account.add(result)
        return result

    @contextmanager
    def _account(self, operation: Operation) -> Iterator[_Account]:
        request_id, account = next(_ids), _Account(self._backend())
        clock = asyncio.get_running_loop().time
        began = clock()
        self._tell(RequestStarted(operation, account.backend, request_id))
        failure: BaseException | None = None
        try:
            yield account
        except BaseException as error:
            failure = error
            raise
        finally:
            self._tell(
                RequestFinished(
                    operation=operation,
                    backend=account.backend,
                    request_id=request_id,
                    outcome=_outcome(failure),
                    seconds=clock() - began,
                    error=failure,
                    audio_seconds=account.audio_seconds,
                    timings=account.timings,
                    job_id=account.job_id,
                )
            )


def _outcome(failure: BaseException | None) -> str:
    if failure is None:
        return "ok"
    # A stream that nobody listens to any more is closed: that is a GeneratorExit.
    if isinstance(failure, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return type(failure).__name__
