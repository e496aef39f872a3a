"""The three ports on a ComfyUI server with the node pack ComfyUI-Qwen-TTS."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from storycore_tts.adapters.comfyui import results, workflows
from storycore_tts.adapters.comfyui.downloads import fetch_audio
from storycore_tts.adapters.comfyui.failures import (
    damaged_upload_error,
    execution_error,
    interrupted_error,
)
from storycore_tts.adapters.comfyui.http_errors import BACKEND
from storycore_tts.adapters.comfyui.jobs import Job, JobDone, JobPlan
from storycore_tts.adapters.comfyui.nodes import NODE_PACK
from storycore_tts.adapters.comfyui.rules import (
    Failed,
    Graph,
    Interrupted,
    speech_progress,
    training_progress,
)
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.adapters.comfyui.transport import tls_context
from storycore_tts.domain.audio import Samples, encode
from storycore_tts.domain.errors import InvalidDataset, NodePackMissing, TTSError
from storycore_tts.domain.progress import OnProgress, Progress, Stage, forward_only
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import fresh_seed
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.domain.voices import Speaker, described
from storycore_tts.ports import BackendStatus, Capabilities, Problem
from storycore_tts.settings import QwenTTSConfig

_DATASET_SIZE = re.compile(r"Encoding (\d+) samples")  # what the training node says at its start


class ComfyUIAdapter:
    """``SpeechSynthesizer``, ``VoiceCloner`` and ``VoiceTrainer`` on one ComfyUI server.

    It may be used from any event loop; each loop gets one WebSocket and a pool of HTTP connections,
    opened when first needed.

    Args:
        config: Where the server is, and which model speaks there.

    Raises:
        ConfigurationError: A CA bundle that cannot be read.
    """

    capabilities = Capabilities(
        speech=True, cloning=True, training=True, checkpoints=True, instruct=True, seeds=True
    )

    def __init__(self, config: QwenTTSConfig) -> None:
        self._config = config
        self._timeouts = config.comfyui.timeouts
        self._tls = tls_context(config)
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, Session] = WeakKeyDictionary()

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``SpeechSynthesizer.synthesize``."""
        session, began = self._session(), time.perf_counter()
        report = forward_only(on_progress)
        spec = await session.spec(workflows.CUSTOM_VOICE)
        job, seed = _job_id(request), _seed(request.sampling.seed)
        graph = workflows.custom_voice(request, self._config, spec, seed=seed, job=job)
        plan = self._speaking(request, graph, job, report)
        samples, done = await self._speak(session, request, plan)
        return results.speech(samples, done, seconds=time.perf_counter() - began)

    async def speakers(self) -> list[Speaker]:
        """See ``SpeechSynthesizer.speakers``."""
        spec = await self._session().spec(workflows.CUSTOM_VOICE)
        return [described(name) for name in spec.choices("speaker")]

    async def clone(
        self, request: CloneRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``VoiceCloner.clone``."""
        session, began = self._session(), time.perf_counter()
        report = forward_only(on_progress)
        spec = await session.spec(workflows.VOICE_CLONE)
        report(Progress(Stage.UPLOADING))

        async def upload() -> str:
            return await self._upload(session, request.reference)

        job, seed = _job_id(request), _seed(request.sampling.seed)
        graph = workflows.voice_clone(
            request, self._config, spec, seed=seed, job=job, uploaded=await upload()
        )
        plan = replace(self._speaking(request, graph, job, report), restore=upload)
        samples, done = await self._speak(session, request, plan)
        seconds = time.perf_counter() - began
        return results.speech(samples, done, seconds=seconds, warnings=request.warnings())

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """See ``VoiceTrainer.train``. The folders of the request are on the server's own disk."""
        session = self._session()
        spec = await session.spec(workflows.TRAIN)
        job = _job_id(request)
        node_id = f"train-{job}"
        losses: dict[int, float] = {}

        def read_event(kind: str, data: Mapping[str, Any]) -> Progress | None:
            progress = training_progress(kind, data, node=node_id)
            if progress is not None:
                _check_dataset_size(progress, request)
                if progress.epoch is not None and progress.loss is not None:
                    losses[progress.epoch] = progress.loss
            return progress

        plan = JobPlan(
            workflows.training(request, spec, node_id=node_id),
            prompt_id=job,
            node_id=node_id,
            limit=self._timeouts.training,
            limit_name="training",
            read_event=read_event,
            report=forward_only(on_progress),
            known=request.job_id is not None,
        )
        done = await _finish(session, plan, request)
        trained = done.graph[node_id]["inputs"]
        return TrainedVoice(
            checkpoint_path=results.text_output(done.outputs),
            speaker_name=str(trained.get("speaker_name", request.speaker_name)),
            epochs=int(trained.get("num_epochs", request.num_epochs)),
            loss_history=tuple(losses[epoch] for epoch in sorted(losses)),
            backend=BACKEND,
            warnings=done.warnings,
        )

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``: the server, its version and device, and the nodes that it has."""
        session, url = self._session(), self._config.comfyui_url
        try:
            server = await session.transport.server_info()
            queue = await session.transport.queue()
        except TTSError as error:
            problem = Problem(error.message, error.hint or "Look at the server's own log.")
            return BackendStatus(BACKEND, False, details={"url": url}, problems=(problem,))
        details, problems, speaks = {"url": url}, [], False
        for class_type in workflows.SPEAKING_AND_TRAINING:
            try:
                spec = await session.spec(class_type)
                speaks = speaks or class_type == workflows.CUSTOM_VOICE
                details[class_type] = f"{spec.module or 'present'}: {workflows.likeness(spec)}"
            except TTSError as error:
                details[class_type] = "missing" if isinstance(error, NodePackMissing) else "unknown"
                problems.append(Problem(error.message, error.hint or "Look at the server's log."))
        return BackendStatus(
            backend=BACKEND,
            reachable=speaks,
            version=server.version,
            device=server.device,
            models=workflows.models(self._config),
            queue_length=len(queue.running) + len(queue.pending),
            details={**details, "pytorch": server.pytorch_version, "node pack": NODE_PACK},
            problems=tuple(problems),
        )

    async def aclose(self) -> None:
        """Close this event loop's connections; jobs that still run there fail."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session is not None:
            await session.aclose()

    def _session(self) -> Session:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            session = self._sessions[loop] = Session(self._config, self._tls)
        return session

    async def _upload(self, session: Session, reference: ReferenceAudio) -> str:
        """Store the reference on the server under a name that its content gives it.

        Raises:
            TTSError: It could not be sent, or not as it is.
        """
        data = await asyncio.to_thread(_padded_wav, reference)
        name = f"{hashlib.sha256(data).hexdigest()[:40]}.wav"
        stored = await session.transport.upload(data, name, workflows.FOLDER)
        # Damaged on its way, it would clone another voice, and nothing would say so.
        if await session.transport.download(stored) != data:
            raise damaged_upload_error()
        return f"{stored.subfolder}/{stored.filename}" if stored.subfolder else stored.filename

    def _speaking(
        self,
        request: SpeechRequest | CloneRequest,
        graph: Graph,
        job: str,
        report: Callable[[Progress], None],
    ) -> JobPlan:
        voice = workflows.VOICE_ID
        return JobPlan(
            graph,
            prompt_id=job,
            node_id=voice,
            limit=self._timeouts.job,
            limit_name="job",
            read_event=lambda kind, data: speech_progress(kind, data, voice_node=voice),
            report=report,
            known=request.job_id is not None,
        )

    async def _speak(
        self, session: Session, request: SpeechRequest | CloneRequest, plan: JobPlan
    ) -> tuple[Samples, JobDone]:
        """Run a graph that ends in a sound, and return the sound if it is speech."""
        done = await _finish(session, plan, request)
        plan.report(Progress(Stage.DOWNLOADING))
        samples = await fetch_audio(session, results.audio_output(done.outputs))
        results.check_speech(samples, done.graph)
        plan.report(Progress(Stage.DOWNLOADING, 1.0))
        return samples, done


async def _finish(
    session: Session, plan: JobPlan, request: SpeechRequest | CloneRequest | TrainingRequest
) -> JobDone:
    """Run a job; an outcome other than success is an error."""
    done = await Job(session, plan).run()
    if isinstance(done.outcome, Failed):
        raise execution_error(done.outcome, request=request)
    if isinstance(done.outcome, Interrupted):
        raise interrupted_error()
    return done


def _check_dataset_size(progress: Progress, request: TrainingRequest) -> None:
    """Stop a training that would learn nothing.

    With fewer batches an epoch than the accumulation value the node never updates a weight, and
    saves a checkpoint all the same.
    """
    told = _DATASET_SIZE.search(progress.message)
    if told is None:
        return
    recordings = int(told.group(1))
    if math.ceil(recordings / request.batch_size) < request.gradient_accumulation_steps:
        raise InvalidDataset(
            f"The dataset has {recordings} recordings: with batch_size={request.batch_size} that "
            f"is fewer batches an epoch than gradient_accumulation_steps="
            f"{request.gradient_accumulation_steps}, and nothing would be learned.",
            hint="Add recordings, or lower gradient_accumulation_steps.",
            backend=BACKEND,
        )


def _padded_wav(reference: ReferenceAudio) -> bytes:
    return encode(reference.padded(), reference.sample_rate, ".wav")


def _seed(wanted: int | None) -> int:
    return fresh_seed() if wanted is None else wanted


def _job_id(request: SpeechRequest | CloneRequest | TrainingRequest) -> str:
    """Return the prompt id: a canonical lower-case UUID, which every server takes."""
    return request.job_id or str(uuid4())
