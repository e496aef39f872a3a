"""Speech from several backends, directly or as durable jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np

from storycore_tts.concurrency.waiting import within
from storycore_tts.domain.consent import Revocation
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.jobs import Failure, Job, JobSpec, Outcome, Withdrawn
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.progress import OnProgress
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.errors import (
    AuthenticationFailed,
    BackendTimeout,
    BackendUnavailable,
    InvalidRequest,
    did_you_mean,
    shown,
)
from storycore_tts.ports import JobAffinityStore, JobQueue, SpeechChunk, UploadStore
from storycore_tts.ports.operations import Request
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.disclosure import spoken_notice
from storycore_tts.services.job_specs import from_json, to_json
from storycore_tts.services.rendering import RenderedStream, Rendering
from storycore_tts.services.sentence_streams import by_sentence
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.sound.files import encode_exactly
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

T = TypeVar("T")

Elsewhere: TypeAlias = Callable[[str, BackendEndpoint], AbstractAsyncContextManager[TextToSpeech]]
"""Opens a backend, by name, at an endpoint other than the configured one."""


@dataclass(frozen=True)
class Store:
    """Storage for jobs and their recordings.

    Args:
        queue: Stores and runs jobs.
        uploads: Stores recordings.
        affinities: Records the server on which each job was started.
    """

    queue: JobQueue
    uploads: UploadStore
    affinities: JobAffinityStore


OpenStore: TypeAlias = Callable[[], Awaitable[Store]]
"""Returns the store, and opens it if necessary.

Raises ``StorageFailed`` if the database cannot be used or another process uses the folder.
"""

_log = logging.getLogger(__name__)
_BLOCK = 0.5  # s of audio encoded at a time


@dataclass(frozen=True)
class JobOptions:
    """Options of a job.

    Args:
        owner: Owner of the job.
        priority: −10..10; higher values run first.
        time_limit: Maximum run time in seconds; None: as configured.
        idempotency_key: The owner's unique key for this request, or None.
    """

    owner: str
    priority: int = 0
    time_limit: float | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class EncodedPiece:
    """A piece of a streamed sound file.

    Args:
        data: Encoded bytes; never empty.
        seconds: Duration of the audio that the encoder has emitted with it.
        chunk: The chunk of the backend that it comes from.
    """

    data: bytes
    seconds: float
    chunk: SpeechChunk


class SpeechService:
    """Generates speech with several backends, directly or as jobs.

    Args:
        backends: Services by adapter name; the first one is the default.
        capacities: Limits of each backend.
        store: Returns the job store.
        elsewhere: Opens a backend at another endpoint, to continue jobs there.
        forget: Drops what backends prepared from a recording; see ``ReferenceCache.forget``.
    """

    def __init__(
        self,
        backends: Mapping[str, TextToSpeech],
        capacities: Mapping[str, Capacity],
        *,
        store: OpenStore,
        elsewhere: Elsewhere,
        forget: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.backends = backends
        self.capacities = capacities
        self._store = store
        self._elsewhere = elsewhere
        self._forget = forget
        self.default_backend = next(iter(backends))
        """Name of the default backend."""

    async def queue(self) -> JobQueue:
        """Return the job queue.

        Raises:
            StorageFailed: The database cannot be used, or another process uses the folder.
        """
        return (await self._store()).queue

    def tts(self, backend: str | None = None) -> TextToSpeech:
        """Return the service of a backend.

        Args:
            backend: Name of the backend; None: the default.

        Raises:
            InvalidRequest: The backend is not available on this service.
        """
        name = self.default_backend if backend is None else backend
        if name not in self.backends:
            suggestion = did_you_mean(name, self.backends)
            raise InvalidRequest(
                f"The backend {shown(name)} is not available on this service.{suggestion}",
                hint=f"Available: {', '.join(self.backends)}.",
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
        """Generate speech directly; cancelling the task cancels the work on the backend.

        Args:
            backend: Name of the backend; None: the default.
            request: The request.
            rendering: How the audio is rendered.
            time_limit: Maximum seconds, including the time in the queue; None: only the timeouts
                of the backend apply.

        Raises:
            BackendOverloaded: Too many requests are waiting.
            BackendTimeout: The time limit was exceeded.
            TTSError: See ``TextToSpeech.speak``.
        """
        tts, name = self.tts(backend), backend or self.default_backend

        async def spoken() -> Outcome:
            async with self.capacities[name].place():
                notice = await _notice(tts, rendering, request)
                speech = await tts.speak(request)
            return await _rendered(tts, rendering, speech, notice)

        try:
            return await within(time_limit, spoken())
        except asyncio.TimeoutError:  # its own class before Python 3.11
            assert time_limit is not None
            raise BackendTimeout(
                f"The request was not completed within its time limit of {time_limit:g} s.",
                wait="job",
                seconds=time_limit,
                hint="Increase the time limit, or submit a job.",
                backend=name,
            ) from None

    def should_stream(self, backend: str | None) -> bool:
        """Return whether to stream a response even if no stream was requested.

        True if the backend can stream and is idle. A busy backend generates concurrent requests in
        batches, which streams do not support.

        Args:
            backend: Name of the backend; None: the default.

        Raises:
            InvalidRequest: The backend is not available on this service.
        """
        tts = self.tts(backend)
        return tts.capabilities.streaming and self.capacities[backend or self.default_backend].idle

    async def stream(
        self,
        backend: str | None,
        request: SpeechRequest | CloneRequest,
        rendering: Rendering,
        *,
        bare_wav: bool = False,
    ) -> AsyncIterator[EncodedPiece]:
        """Generate speech directly, and yield the file piece by piece.

        Backends that cannot stream deliver sentence by sentence; see ``by_sentence``.

        Args:
            backend: Name of the backend; None: the default.
            request: The request.
            rendering: How the audio is rendered.
            bare_wav: Whether a .wav has no tags, for clients that cut off 44 bytes as its header
                and would play them as noise.

        Raises:
            InvalidRequest: The format cannot be streamed.
            BackendOverloaded: Too many requests are waiting.
            StorageFailed: The stream's record is required and cannot be written; its end is not
                delivered.
            TTSError: See ``TextToSpeech.speak``; may be raised after some pieces were delivered.
        """
        tts = self.tts(backend)
        chunks = self._chunks(tts, backend or self.default_backend, request)
        encoder, speech, chunk = RenderedStream(rendering), None, None
        encoder.watermark(await asyncio.to_thread(tts.marking.watermark_stream, SAMPLE_RATE))
        async with aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                if speech is None:
                    speech = _without_samples(chunk, request)
                    if not (bare_wav and rendering.format == "wav"):
                        encoder.tag(tts.marking.tags(speech))
                for samples in _blocks(chunk.samples, chunk.sample_rate):
                    data, seconds = await asyncio.to_thread(encoder.feed, samples)
                    if data:
                        yield EncodedPiece(data, seconds, chunk)
        data, seconds = await asyncio.to_thread(encoder.finish)
        if speech is not None:
            whole = (speech, encoder.sha256, rendering.suffix)
            await asyncio.to_thread(tts.marking.stream_ended, *whole)
        if data and chunk is not None:
            yield EncodedPiece(data, seconds, chunk)

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
                await tts.check_consent(request)  # a sentence may have waited for the one before
                yield chunk

    async def keep(self, owner: str, recording: ReferenceAudio) -> str:
        """Store a recording, and return its id for ``kept`` and for clones.

        Args:
            owner: Owner of the recording.
            recording: The recording.

        Raises:
            StorageFailed: The database cannot be used.
        """
        data = await asyncio.to_thread(
            encode_exactly, recording.samples, int(recording.sample_rate)
        )
        return await (await self._store()).uploads.put(owner, data)

    async def kept(
        self, owner: str, reference: str, *, transcript: str | None = None
    ) -> ReferenceAudio:
        """Return a stored recording.

        Args:
            owner: Owner of the recording.
            reference: Its id.
            transcript: What is said in it, if known.

        Raises:
            UploadNotFound: The owner has no recording with that id, or it has expired.
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
        """Submit a job; when this returns, it is stored durably.

        Args:
            backend: Name of the backend; None: the default.
            request: The request.
            terms: Options of the job.
            rendering: How the audio is rendered.
            reference: Id of the stored recording of a clone; None: store it now.

        Raises:
            UnsupportedByBackend: The backend does not support the operation.
            ConsentRefused: There is no consent to the use of the voice.
            IdempotencyConflict: The key was used for a different request.
            TooManyJobs: The queue is full.
            StorageFailed: The database cannot be used.
        """
        tts = self.tts(backend)
        kind = tts.check(request).job
        await tts.check_consent(request)
        assert kind is not None  # every request can become a job
        if reference is None and isinstance(request, CloneRequest):
            reference = await self.keep(terms.owner, request.reference)
        queue = await self.queue()
        return await queue.submit(
            JobSpec(
                kind=kind,
                backend=backend or self.default_backend,
                details=to_json(request, rendering=rendering, reference=reference),
                **asdict(terms),
            )
        )

    async def revoke(
        self, name: str, *, reason: str = "", owner: str | None = None
    ) -> tuple[Revocation, Withdrawn]:
        """Revoke the consent to the use of a stored voice; when this returns, no job can use it.

        The recording is deleted, with its copies for jobs and what backends prepared from it.

        Args:
            name: Name of the voice.
            reason: Why, in words.
            owner: See ``VoiceLibrary.find``.

        Returns:
            The revocation, and the jobs in this voice.

        Raises:
            UnknownSpeaker: There is no such voice.
            StorageFailed: The voice is damaged, or a folder or database fails; call it again then.
        """
        library = self.tts().voices
        revocation, recording = await asyncio.to_thread(
            library.revoke, name, reason=reason, owner=owner
        )
        self._forget(revocation.reference_sha256)
        queue = await self.queue()
        failure = Failure.of(revocation.refusal())
        return revocation, await queue.withdraw(revocation.consent_id, recording, failure)

    async def perform(self, job_id: str, spec: JobSpec, on_progress: OnProgress) -> Outcome:
        """Run a job for the queue; if it runs again, a backend that knows the job continues it.

        Args:
            job_id: Id of the job.
            spec: What to do.
            on_progress: Progress callback.

        Raises:
            TTSError: See ``TextToSpeech``.
        """
        fetch = partial((await self._store()).uploads.get, spec.owner)
        request, rendering = await from_json(spec.kind, spec.details, job_id=job_id, fetch=fetch)

        async def made(tts: TextToSpeech) -> Speech | TrainedVoice:
            return await tts.perform(request, on_progress=on_progress)

        async with self.capacities[spec.backend].place(patient=True):
            notice = await _notice(self.tts(spec.backend), rendering, request)
            result = await self._on_original_server(job_id, spec.backend, made)
        if isinstance(result, TrainedVoice):
            return Outcome(asdict(result))
        return await _rendered(self.tts(spec.backend), rendering, result, notice)

    async def _on_original_server(
        self, job_id: str, backend: str, made: Callable[[TextToSpeech], Awaitable[T]]
    ) -> T:
        """Continue a job on the server where it was started, if that is not the configured one.

        This happens if another process started the job and died, or if the settings have changed.
        If that server cannot be reached, the job is started again on the configured one.
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


def _without_samples(chunk: SpeechChunk, request: SpeechRequest | CloneRequest) -> Speech:
    """Return what is known of a streamed line at its first chunk."""
    return Speech(
        np.zeros(0, np.float32),
        chunk.sample_rate,
        backend=chunk.backend,
        model=chunk.model,
        language=request.language,
        seed=chunk.seed,
        warnings=chunk.warnings,
        source_type=chunk.source_type,
        request=request,
    )


async def _notice(tts: TextToSpeech, rendering: Rendering, request: Request) -> Speech | None:
    """Generate the notice first: if it fails, the line costs nothing."""
    if rendering.disclosure is None or isinstance(request, TrainingRequest):
        return None
    return await spoken_notice(tts, rendering.disclosure, request)


async def _rendered(
    tts: TextToSpeech, rendering: Rendering, speech: Speech, notice: Speech | None
) -> Outcome:
    """Render speech, unless the consent to one of its voices is revoked meanwhile."""
    outcome = await asyncio.to_thread(rendering.applied, speech, notice)
    for one in (speech, notice):
        if one is not None and one.request is not None:
            await tts.check_consent(one.request)
    return outcome


def _blocks(samples: Samples, sample_rate: int) -> Iterator[Samples]:
    length = int(_BLOCK * sample_rate)
    for start in range(0, len(samples), length):
        yield samples[start : start + length]
