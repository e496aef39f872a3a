"""The ports on a Qwen3-TTS model in this process."""

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
from storycore_tts.adapters.direct.speech_jobs import Line, PoolCall, Result, SpeechJob
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

    Requests that wait at the same time, for one model and with the same sampling, are spoken in one
    batch. A request with a fixed seed is spoken alone: the same request gives the same samples
    every time on the same machine. The seed that was used is always recorded, and repeats what was
    spoken alone; in a batch, the numbers that a line gets depend on its neighbours too.

    A training has the device for itself: what is asked for meanwhile waits, as it would behind a
    training on a ComfyUI server.

    It may be used from any event loop.

    Args:
        config: Which model speaks, and on what.
        load: Loads a checkpoint; called in the pool's thread.
        read: Reads a checkpoint's card; called in a thread.
        clock: For idle models and batches that fill up.
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
        prompts = PromptCache(int(direct.clone_cache_megabytes * 2**20))
        self._pool = Pool(
            limits, lambda key: load(key.checkpoint, key.version, config, prompts), clock=clock
        )
        self._cards = SharedLookup(read)

    @property
    def capabilities(self) -> Capabilities:
        """All there is; ``instruct`` is for the 1.7B models."""
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
        """See ``SpeechSynthesizer.speakers``; reads the checkpoint's config, loads nothing."""
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

        The chunks joined are what the same seed gives as a whole, up to what the codec remembers
        for longer than the 72 frames that each is decoded with: no sample differs by more than
        0.002 on the models that the tests run on. A stream shares no batch. It does not wait for a
        slow consumer, since other lines wait for the model: what was not consumed yet is kept, at
        most the audio of the request's token budget.
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
        """See ``VoiceTrainer.train``. The folders of the request are on this machine's disk."""
        call = PoolCall[TrainedVoice]()
        self._pool.submit_exclusive(call, lambda: self._trained(request, call))
        return await _ended(call, on_progress)

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``: the package, the device, and where the checkpoints are."""
        return await asyncio.to_thread(self._look)

    async def aclose(self) -> None:
        """Stop what is being spoken, end the threads and free the memory; safe to call twice."""
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
    ) -> tuple[ModelKey, Line, tuple[str, ...]]:
        """Hold a request against its checkpoint, without loading it; returns its warnings too."""
        kind: Kind = "base" if isinstance(request, CloneRequest) else "custom_voice"
        own = request.checkpoint
        checkpoint = configured(self._config, kind) if own is None else Checkpoint(own, kind)
        card = await self._cards.get(checkpoint)
        card.check_language(request.language)
        line = Line(request.text, request.language, request.sampling, request.token_budget)
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
            raise failures.closed() from None  # the caller of a cancelled task does not see it
        return replace(voice, warnings=(*voice.warnings, *placement.warnings))

    def _look(self) -> BackendStatus:
        """Find out what is there and what is missing; imports torch."""
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
    """Pass a call's news on, and return what it ends with; leaving early cancels it."""
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
    """Say where a checkpoint is.

    Raises:
        TTSError: A folder that was named holds none.
    """
    if checkpoint.folder is not None:
        read_card(checkpoint)
    if is_here(checkpoint):
        return "on this machine"
    if checkpoint.folder is not None:
        fetched(checkpoint)  # says which files are missing
    return "not downloaded yet; the first use does it"
