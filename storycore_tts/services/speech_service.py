"""Speech from several backends: at once, or as a job that is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from storycore_tts.concurrency.waiting import within
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.errors import (
    AuthenticationFailed,
    BackendTimeout,
    BackendUnavailable,
    InvalidRequest,
    did_you_mean,
    shown,
)
from storycore_tts.domain.jobs import Job, JobSpec, Outcome
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
)
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.ports import JobAffinityStore, JobQueue, SpeechChunk, UploadStore
from storycore_tts.ports.operations import Request
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.job_specs import from_json, to_json
from storycore_tts.services.rendering import RenderedStream, Rendering
from storycore_tts.services.sentence_streams import by_sentence
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.sound.files import encode_exactly
from storycore_tts.sound.samples import Samples

T = TypeVar("T")

Elsewhere: TypeAlias = Callable[[str, BackendEndpoint], AbstractAsyncContextManager[TextToSpeech]]
"""Opens a backend, given its name, at another endpoint than the configured one."""


@dataclass(frozen=True)
class Store:
    """Where jobs are kept, and what they need.

    Args:
        queue: Keeps jobs.
        uploads: Keeps recordings.
        affinities: Keeps where jobs were begun.
    """

    queue: JobQueue
    uploads: UploadStore
    affinities: JobAffinityStore


OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
"""Returns the store; one that is not open yet is opened.

It raises ``StorageFailed`` if the database refuses, or another process has the folder.
"""

_log = logging.getLogger(__name__)
_BLOCK = 0.5  # s of sound that are encoded at a time


@dataclass(frozen=True)
class JobOptions:
    """On which terms a job is given.

    Args:
        owner: Whose it is.
        priority: −10..10; the greater goes first.
        time_limit: Seconds of work at most; None: as configured.
        idempotency_key: The owner's own name for this order; None: none.
    """

    owner: str
    priority: int = 0
    time_limit: float | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Piece:
    """A piece of a sound file that is still being made.

    Args:
        data: Its bytes; never empty.
        seconds: Of audio that it holds, as far as the encoder has given it out.
        chunk: What the backend told of it.
    """

    data: bytes
    seconds: float
    chunk: SpeechChunk


class SpeechService:
    """Speech from several backends, at once or as jobs.

    Args:
        backends: The services by the names of their adapters; the first one is the usual one.
        capacities: How much each of them does at a time.
        store: Opens what keeps jobs.
        elsewhere: How to go on with them there.
    """

    def __init__(
        self,
        backends: Mapping[str, TextToSpeech],
        capacities: Mapping[str, Capacity],
        *,
        store: OpenStore,
        elsewhere: Elsewhere,
    ) -> None:
        self.backends = backends
        self.capacities = capacities
        self._store = store
        self._elsewhere = elsewhere
        self.usual = next(iter(backends))
        """Name of the backend that does what names none."""

    async def queue(self) -> JobQueue:
        """Return what keeps jobs.

        Raises:
            StorageFailed: The database refuses, or another process has the folder.
        """
        return (await self._store()).queue

    def tts(self, backend: str | None = None) -> TextToSpeech:
        """Return the service of a backend; None for the usual one.

        Raises:
            InvalidRequest: It is not offered here.
        """
        name = self.usual if backend is None else backend
        if name not in self.backends:
            suggestion = did_you_mean(name, self.backends)
            raise InvalidRequest(
                f"The backend {shown(name)} is not offered here.{suggestion}",
                hint=f"Offered: {', '.join(self.backends)}.",
            )
        return self.backends[name]

    async def speak(
        self,
        backend: str | None,
        request: SpeechRequest | CloneRequest,
        rendering: Rendering,
        *,
        time_limit: float | None = None,
    ) -> Outcome:
        """Speak a line now; cancelling the task stops it on the backend.

        Args:
            backend: Who does it; None for the usual one.
            request: What to say, and in which voice.
            rendering: What becomes of the speech.
            time_limit: Seconds at most, those of waiting for a turn among them; None: as the
                backend's own waits allow.

        Raises:
            BackendOverloaded: Too many wait already.
            BackendTimeout: The time is up.
            TTSError: See ``TextToSpeech.speak``.
        """
        tts, name = self.tts(backend), backend or self.usual

        async def spoken() -> Outcome:
            async with self.capacities[name].place():
                speech = await tts.speak(request)
            return await asyncio.to_thread(rendering.applied, speech)

        try:
            return await within(time_limit, spoken())
        except asyncio.TimeoutError:  # its own class before Python 3.11
            assert time_limit is not None
            raise BackendTimeout(
                f"The line was not spoken within {time_limit:g} s.",
                wait="job",
                seconds=time_limit,
                hint="Allow it more time, or ask for a job.",
                backend=name,
            ) from None

    def flows(self, backend: str | None) -> bool:
        """Tell whether a line is better heard while it is made than awaited as a whole.

        It is where the backend streams and nothing else is to be done there: lines that come
        together are spoken in one batch, a stream is not.

        Raises:
            InvalidRequest: The backend is not offered here.
        """
        tts = self.tts(backend)
        return tts.capabilities.streaming and self.capacities[backend or self.usual].idle

    async def stream(
        self, backend: str | None, request: SpeechRequest | CloneRequest, rendering: Rendering
    ) -> AsyncIterator[Piece]:
        """Speak a line now, and yield the file piece by piece.

        A backend that streams is heard while it still speaks, another one after each sentence; see
        ``by_sentence``.

        Raises:
            InvalidRequest: Files of that format cannot be streamed.
            BackendOverloaded: Too many wait already.
            TTSError: See ``TextToSpeech.speak``; it may come after pieces that were right.
        """
        chunks = self._chunks(self.tts(backend), backend or self.usual, request)
        encoder, chunk = RenderedStream(rendering), None
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                for samples in _blocks(chunk.samples, chunk.sample_rate):
                    data, seconds = await asyncio.to_thread(encoder.feed, samples)
                    if data:
                        yield Piece(data, seconds, chunk)
        data, seconds = await asyncio.to_thread(encoder.finish)
        if data and chunk is not None:
            yield Piece(data, seconds, chunk)

    async def _chunks(
        self, tts: TextToSpeech, name: str, request: SpeechRequest | CloneRequest
    ) -> AsyncIterator[SpeechChunk]:
        place = self.capacities[name].place
        if tts.capabilities.streaming:
            async with (
                place(),
                aclosing(tts.synthesize_stream(request)) as chunks,  # type: ignore[type-var]
            ):
                async for chunk in chunks:
                    yield chunk
            return

        async def speak(sentence: SpeechRequest | CloneRequest, heard: bool) -> Speech:
            async with place(patient=heard):
                return await tts.speak(sentence)

        async with aclosing(by_sentence(request, speak)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk

    async def keep(self, owner: str, recording: ReferenceAudio) -> str:
        """Keep a recording, and return the id that ``kept`` and clones take.

        Raises:
            StorageFailed: The database refuses.
        """
        data = await asyncio.to_thread(
            encode_exactly, recording.samples, int(recording.sample_rate)
        )
        return await (await self._store()).uploads.put(owner, data)

    async def kept(
        self, owner: str, reference: str, *, transcript: str | None = None
    ) -> ReferenceAudio:
        """Return a recording that was kept.

        Raises:
            UploadNotFound: This owner has none under that id, or its time is over.
        """
        data = await (await self._store()).uploads.get(owner, reference)
        return await asyncio.to_thread(ReferenceAudio.from_bytes, data, transcript=transcript)

    async def submit(
        self,
        backend: str | None,
        request: Request,
        terms: JobOptions,
        *,
        rendering: Rendering | None = None,
        reference: str | None = None,
    ) -> Job:
        """Accept a job; when this returns, it is on disk and will be done.

        Args:
            backend: Who does it; None for the usual one.
            request: What it shall do.
            terms: Whose it is, and on which terms.
            rendering: What becomes of the speech.
            reference: Under which id the recording of a clone is kept already; None: keep it now.

        Raises:
            UnsupportedByBackend: This backend has no such port.
            IdempotencyConflict: The key stands for another order.
            TooManyJobs: The queue is full.
            StorageFailed: The database refuses.
        """
        kind = self.tts(backend).check(request).job
        assert kind is not None  # every request can become a job
        if reference is None and isinstance(request, CloneRequest):
            reference = await self.keep(terms.owner, request.reference)
        queue = await self.queue()
        return await queue.submit(
            JobSpec(
                kind=kind,
                backend=backend or self.usual,
                details=to_json(request, rendering=rendering, reference=reference),
                **asdict(terms),
            )
        )

    async def perform(self, job_id: str, spec: JobSpec, on_progress: OnProgress) -> Outcome:
        """Do a job, for the queue; asked again, a backend that knows the job goes on with it.

        Raises:
            TTSError: See ``TextToSpeech``.
        """
        fetch = partial((await self._store()).uploads.get, spec.owner)
        request, rendering = await from_json(spec.kind, spec.details, job_id=job_id, fetch=fetch)

        async def made(tts: TextToSpeech) -> Speech | TrainedVoice:
            return await tts.perform(request, on_progress=on_progress)

        async with self.capacities[spec.backend].place(patient=True):
            result = await self._where_it_is(job_id, spec.backend, made)
        if isinstance(result, TrainedVoice):
            return Outcome(asdict(result))
        return await asyncio.to_thread(rendering.applied, result)

    async def _where_it_is(
        self, job_id: str, backend: str, made: Callable[[TextToSpeech], Awaitable[T]]
    ) -> T:
        """Go on with a job where it was begun, should that be another server than ours.

        Another process began it and died, or our settings named that server then. If it cannot be
        reached any more, the job is begun here.
        """
        tts = self.tts(backend)
        here = tts.endpoint
        if here is None:
            return await made(tts)
        affinities = (await self._store()).affinities
        begun = await affinities.find(job_id)
        if begun not in (None, here) and begun.in_reach:
            try:
                async with self._elsewhere(backend, begun) as there:
                    return await made(there)
            except (BackendUnavailable, AuthenticationFailed) as error:
                log_event(_log, logging.WARNING, "job.begun_anew", job=job_id, reason=error.message)
        if begun != here:
            await affinities.note(job_id, here)
        return await made(tts)


def _blocks(samples: Samples, sample_rate: int) -> Iterator[Samples]:
    length = int(_BLOCK * sample_rate)
    for start in range(0, len(samples), length):
        yield samples[start : start + length]
