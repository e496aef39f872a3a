"""The direct adapter: the ports on a Qwen3-TTS model in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeAlias

from storycore_tts.adapters.direct import failures, parameters
from storycore_tts.adapters.direct.checkpoints import (
    Card,
    Checkpoint,
    Kind,
    configured,
    configured_size,
    fetched,
    is_here,
    read_card,
)
from storycore_tts.adapters.direct.devices import Hardware, place
from storycore_tts.adapters.direct.engine import Engine
from storycore_tts.adapters.direct.failures import BACKEND
from storycore_tts.adapters.direct.installed import Installed
from storycore_tts.adapters.direct.lookups import SharedLookup
from storycore_tts.adapters.direct.package import load_package
from storycore_tts.adapters.direct.pool import Limits, ModelKey, Pool
from storycore_tts.adapters.direct.prompts import PromptCache
from storycore_tts.adapters.direct.speech_jobs import PoolCall, PreparedLine, Result, SpeechJob
from storycore_tts.adapters.direct.turns import Clock
from storycore_tts.domain.progress import OnProgress, Progress, forward_only
from storycore_tts.domain.requests import (
    CLONE_INSTRUCT_UNHEARD,
    INSTRUCT_UNHEARD,
    CloneRequest,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.speech import Speech, Timings, TrainedVoice
from storycore_tts.domain.voices import Speaker, described, find_speaker
from storycore_tts.errors import TTSError
from storycore_tts.ports import BackendStatus, Capabilities, Problem, SpeechChunk
from storycore_tts.settings import QwenTTSConfig
from storycore_tts.sound.samples import SAMPLE_RATE

LoadModel: TypeAlias = Callable[[Checkpoint, object, QwenTTSConfig, PromptCache], Engine]


class DirectAdapter:
    """All ports without a server: speech, cloning, training and streaming.

    Queued requests for the same model with the same sampling are generated in one batch. A request
    with a fixed seed is generated alone, so the same request gives the same samples every time on
    the same machine. The seed that was used is always recorded. It reproduces a line that was
    generated alone; in a batch, a line's random numbers also depend on the other lines.

    Training has exclusive use of the device: other requests wait until it ends, as they do on a
    ComfyUI server.

    Safe to use from any event loop.

    Args:
        config: The model and the device.
        load: Loads a checkpoint. Called in the pool's thread.
        read: Reads a checkpoint's card. Called in a thread.
        clock: Measures idle time and batch windows.
    """

    def __init__(
        self,
        config: QwenTTSConfig,
        *,
        load: LoadModel = Engine,
        read: Callable[[Checkpoint], Card] = read_card,
        clock: Clock | None = None,
    ) -> None:
        self._config = config
        direct = config.direct
        limits = Limits(
            models=direct.max_loaded_models,
            idle=direct.idle_unload_seconds,
            batch=direct.max_batch_size,
            window=direct.batch_window_ms / 1000,
            keep=not config.unload_model_after_generate,
        )
        self._prompts = prompts = PromptCache(int(direct.clone_cache_megabytes * 2**20))
        self._pool = Pool(
            limits, lambda key: load(key.checkpoint, key.version, config, prompts), clock=clock
        )
        self._cards = SharedLookup(read)

    @property
    def capabilities(self) -> Capabilities:
        """Everything; ``instruct`` only with the 1.7B models."""
        return Capabilities(
            speech=True,
            cloning=True,
            training=True,
            checkpoints=True,
            instruct=self._config.model_choice == "1.7B",
            seeds=True,
            streaming=True,
            parameters=parameters.SAMPLING | parameters.TRAINING,
        )

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``SpeechSynthesizer.synthesize``."""
        return await self._speech(request, on_progress)

    async def speakers(self) -> list[Speaker]:
        """See ``SpeechSynthesizer.speakers``. Reads the checkpoint's config without loading it."""
        stock = configured(self._config, "custom_voice")
        card = await self._cards.get(stock)
        return [described(name) for name in card.speakers]

    async def clone(
        self, request: CloneRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``VoiceCloner.clone``."""
        return await self._speech(request, on_progress)

    async def synthesize_stream(
        self, request: SpeechRequest | CloneRequest, *, on_progress: OnProgress | None = None
    ) -> AsyncIterator[SpeechChunk]:
        """See ``StreamingSynthesizer.synthesize_stream``.

        The joined chunks equal the non-streamed audio of the same seed, except for codec state from
        before the 72 frames of context that each chunk is decoded with: on the models used in the
        tests, no sample differs by more than 0.002. A stream is never batched. It does not wait for
        a slow consumer, since other lines wait for the model: unread chunks are buffered, at most
        the audio of the request's token budget.
        """
        key, line, warnings = await self._checked(request)
        job, report = SpeechJob(line, streamed=True), forward_only(on_progress)
        delivered = 0
        try:
            self._pool.submit(key, job)
            while news := await job.heard():
                for item in news:
                    if isinstance(item, Progress):
                        report(item)
                        continue
                    yield SpeechChunk(
                        samples=item.samples,
                        sample_rate=SAMPLE_RATE,
                        start=delivered / SAMPLE_RATE,
                        seed=item.seed,
                        backend=BACKEND,
                        warnings=(*warnings, *item.warnings),
                        model=key.checkpoint.name,
                    )
                    delivered += len(item.samples)
            job.result()
        finally:
            job.cancel()

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """See ``VoiceTrainer.train``. The request's folders are paths on this machine's disk."""
        call = PoolCall[TrainedVoice]()
        self._pool.submit_exclusive(call, lambda: self._trained(request, call))
        return await _ended(call, on_progress)

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``. Reports the package, the device and the checkpoints."""
        return await asyncio.to_thread(self._look)

    def forget(self, reference_sha256: str) -> None:
        """See ``ReferenceCache.forget``."""
        self._prompts.forget(reference_sha256)

    async def aclose(self) -> None:
        """Stop generation, end the threads and free the memory. Safe to call twice."""
        await asyncio.to_thread(self._pool.close)

    async def _speech(
        self, request: SpeechRequest | CloneRequest, on_progress: OnProgress | None
    ) -> Speech:
        called = time.perf_counter()
        key, line, warnings = await self._checked(request)
        job = SpeechJob(line)
        self._pool.submit(key, job)
        spoken = await _ended(job, on_progress)
        return Speech(
            samples=spoken.samples,
            sample_rate=SAMPLE_RATE,
            backend=BACKEND,
            model=key.checkpoint.name,
            speaker=line.speaker,
            language=line.language,
            seed=spoken.seed,
            x_vector_only=line.x_vector_only,
            timings=Timings(spoken.queued, spoken.generating, time.perf_counter() - called),
            warnings=(*warnings, *spoken.warnings),
        )

    async def _checked(
        self, request: SpeechRequest | CloneRequest
    ) -> tuple[ModelKey, PreparedLine, tuple[str, ...]]:
        """Validate a request against its checkpoint without loading it; also returns warnings."""
        kind: Kind = "base" if isinstance(request, CloneRequest) else "custom_voice"
        own = request.checkpoint
        checkpoint = configured(self._config, kind) if own is None else Checkpoint(own, kind)
        card = await self._cards.get(checkpoint)
        card.check_language(request.language)
        line = PreparedLine(request.text, request.language, request.sampling, request.token_budget)
        if isinstance(request, CloneRequest):
            line = replace(line, reference=request.reference, x_vector_only=request.x_vector_only)
            unheard = (CLONE_INSTRUCT_UNHEARD,) if request.instruct else ()
            warnings = (*unheard, *request.warnings())
        else:
            speaker = find_speaker(request.speaker, card.speakers, backend=BACKEND)
            line = replace(line, speaker=speaker, instruct=request.instruct)
            deaf = bool(request.instruct) and not card.hears_instruct
            warnings = (INSTRUCT_UNHEARD,) if deaf else ()
        return ModelKey(checkpoint, card.stamp), line, warnings

    def _trained(self, request: TrainingRequest, call: PoolCall[TrainedVoice]) -> TrainedVoice:
        base = configured_size(self._config, "base", request.model_choice)
        read_card(base)
        with failures.loading(base.name):
            load_package()
            import torch

            placement = place(self._config, Hardware.here())
            from storycore_tts.adapters.direct import training
        try:
            with failures.device_watched():
                voice = training.train(
                    request,
                    base_model=fetched(base),
                    tokenizer=None,
                    device=placement.device,
                    dtype=getattr(torch, placement.dtype),
                    on_progress=call.tell,
                    cancelled=lambda: call.cancelled or self._pool.closed,
                )
        except training.TrainingCancelled:
            raise failures.closed() from None  # a cancelled caller never sees it
        return replace(voice, warnings=(*voice.warnings, *placement.warnings))

    def _look(self) -> BackendStatus:
        """Check the package, the device and the checkpoints. Imports torch."""
        stock = [configured(self._config, "custom_voice"), configured(self._config, "base")]
        installed = Installed.here()
        device, details, problems = "", installed.details(), list[Problem]()
        try:
            load_package()
            placement = place(self._config, Hardware.here())
            device = placement.title
            details["precision"] = placement.dtype
            details["attention"] = placement.attention
            for checkpoint in stock:
                details[checkpoint.name] = _whereabouts(checkpoint)
            if misfit := installed.misfit():
                problems.append(Problem(misfit.message, misfit.advice))
        except TTSError as error:
            problems.append(Problem(error.message, error.hint or ""))
        if lost := self._pool.lost:
            problems.append(Problem(lost.message, lost.hint or ""))
        if self._pool.closed:
            problems.append(Problem(failures.closed().message, "Open another one."))
        details["loaded"] = ", ".join(key.checkpoint.name for key in self._pool.loaded) or "nothing"
        return BackendStatus(
            BACKEND,
            reachable=not problems,
            version=installed.version,
            device=device,
            models=tuple(checkpoint.name for checkpoint in stock),
            queue_length=self._pool.length,
            details=details,
            problems=tuple(problems),
        )


async def _ended(call: PoolCall[Result], on_progress: OnProgress | None) -> Result:
    """Forward a call's progress and return its result. Leaving early cancels the call."""
    report = forward_only(on_progress)
    try:
        while news := await call.heard():
            for item in news:
                assert isinstance(item, Progress), "only streams are delivered in pieces"
                report(item)
        return call.result()
    finally:
        call.cancel()


def _whereabouts(checkpoint: Checkpoint) -> str:
    """Describe where a checkpoint is stored.

    Raises:
        TTSError: The configured folder contains no checkpoint.
    """
    if checkpoint.folder is not None:
        read_card(checkpoint)
    if is_here(checkpoint):
        return "on this machine"
    if checkpoint.folder is not None:
        fetched(checkpoint)  # raises with the names of missing files
    return "not downloaded yet; the first use does it"
