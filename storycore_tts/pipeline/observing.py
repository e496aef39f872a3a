"""Notifies listeners when calls start and end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from storycore_tts.domain.events import Listener, RequestFinished, RequestStarted
from storycore_tts.domain.speech import Speech, Timings, TrainedVoice
from storycore_tts.pipeline.calls import Call, Send, StartedStream
from storycore_tts.ports import SpeechChunk

_ids = itertools.count(1)


@dataclass
class _Account:
    """What is known about a call so far."""

    backend: str
    audio_seconds: float = 0.0
    timings: Timings | None = None
    job_id: str = ""

    def add(self, result: object) -> None:
        """Record the facts of a result."""
        if isinstance(result, Speech | TrainedVoice):
            self.backend = result.backend
        if isinstance(result, Speech):
            self.audio_seconds = result.duration
            self.timings, self.job_id = result.timings, result.job_id

    def add_chunk(self, chunk: SpeechChunk) -> SpeechChunk:
        """Record the facts of a chunk, and return it."""
        self.audio_seconds += chunk.duration
        self.backend = chunk.backend or self.backend
        return chunk


class Observer:
    """Middleware that reports the start and end of every call. A stream is one call.

    Args:
        backend: Returns the name of the currently configured backend.
        tell: Receives the events.
    """

    def __init__(self, *, backend: Callable[[], str], tell: Listener) -> None:
        self._backend = backend
        self._tell = tell

    async def __call__(self, call: Call, send: Send) -> Any:
        """Make the call, and report its start and end."""
        with ExitStack() as stack:
            account = stack.enter_context(self._account(call.operation.name))
            result = await send(call)
            if isinstance(result, StartedStream):
                return result.each(account.add_chunk, within=stack.pop_all())
            account.add(result)
            return result

    @contextmanager
    def _account(self, operation: str) -> Iterator[_Account]:
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
    # Closing a stream before its end raises GeneratorExit.
    if isinstance(failure, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return type(failure).__name__
