"""The ComfyUI adapter: the three ports on a server with the node pack ComfyUI-Qwen-TTS."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx

from storycore_tts.adapters.comfyui import checks, speaking
from storycore_tts.adapters.comfyui.protocol import BACKEND, graphs, results
from storycore_tts.adapters.comfyui.protocol.messages import (
    training_progress,
)
from storycore_tts.adapters.comfyui.protocol.nodes import NODE_PACK
from storycore_tts.adapters.comfyui.protocol.plan import JobPlan
from storycore_tts.adapters.comfyui.runner import JobRunner
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.adapters.comfyui.transport.http import tls_context
from storycore_tts.adapters.comfyui.transport.websocket import OpenSocket
from storycore_tts.domain.progress import OnProgress, Progress, Stage, forward_only
from storycore_tts.domain.requests import (
    CLONE_INSTRUCT_UNHEARD,
    CloneRequest,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import fresh_seed
from storycore_tts.domain.speech import Speech, TrainedVoice
from storycore_tts.domain.voices import Speaker, described
from storycore_tts.errors import (
    GenerationFailed,
    InvalidDataset,
    NodePackMissing,
    TTSError,
)
from storycore_tts.ports import BackendStatus, Capabilities, Problem
from storycore_tts.settings import QwenTTSConfig

_DATASET_SIZE = re.compile(r"Encoding (\d+) samples")  # the training node prints it at the start


class ComfyUIAdapter:
    """``SpeechSynthesizer``, ``VoiceCloner`` and ``VoiceTrainer`` on one ComfyUI server.

    Safe to use from any event loop. Each loop gets one WebSocket and a pool of HTTP connections,
    opened on first use.

    Args:
        config: The server's address and the model to use.
        transport: Replaces the HTTP transport, for tests.
        open_socket: Replaces the function that opens the WebSocket, for tests.

    Raises:
        ConfigurationError: The CA bundle cannot be read.
    """

    capabilities = Capabilities(
        speech=True,
        cloning=True,
        training=True,
        checkpoints=True,
        instruct=True,
        seeds=True,
        parameters=frozenset((*graphs.SAMPLING, *graphs.TRAINING)),
    )

    def __init__(
        self,
        config: QwenTTSConfig,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        open_socket: OpenSocket | None = None,
    ) -> None:
        self._config = config
        self._timeouts = config.comfyui.timeouts
        self._tls = tls_context(config)
        self._transport = transport
        self._open_socket = open_socket
        self._sessions: dict[asyncio.AbstractEventLoop, Session] = {}

    async def synthesize(
        self, request: SpeechRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``SpeechSynthesizer.synthesize``."""
        session, began = self._session(), _now()
        model, _ = graphs.models(self._config)
        voice = await speaking.look_at(session, graphs.CUSTOM_VOICE, model, request.checkpoint)
        job, seed = _job_id(request), _seed(request.sampling.seed)
        graph = graphs.custom_voice(request, voice.config, voice.spec, seed=seed, job=job)
        plan = speaking.plan_of(session, request, graph, job, voice)
        spoken = await speaking.speak(session, request, plan, voice, forward_only(on_progress))
        warnings = (*voice.warnings, *graphs.lacking(request, voice.spec))
        return spoken.speech(seconds=_now() - began, warnings=warnings)

    async def speakers(self) -> list[Speaker]:
        """See ``SpeechSynthesizer.speakers``."""
        spec = await self._session().spec(graphs.CUSTOM_VOICE)
        return [described(name) for name in spec.choices("speaker")]

    async def clone(
        self, request: CloneRequest, *, on_progress: OnProgress | None = None
    ) -> Speech:
        """See ``VoiceCloner.clone``."""
        session, began = self._session(), _now()
        report = forward_only(on_progress)
        _, model = graphs.models(self._config)
        voice = await speaking.look_at(session, graphs.VOICE_CLONE, model, request.checkpoint)
        report(Progress(Stage.UPLOADING))
        reference = await asyncio.to_thread(speaking.Upload.of, request.reference)
        is_known = reference.name in session.lookups

        async def restore() -> None:
            session.lookups.forget(reference.name)
            await speaking.uploaded(session, reference)

        job, seed = _job_id(request), _seed(request.sampling.seed)
        uploaded = await speaking.uploaded(session, reference)
        graph = graphs.voice_clone(
            request, voice.config, voice.spec, seed=seed, job=job, uploaded=uploaded
        )
        plan = speaking.plan_of(session, request, graph, job, voice)
        try:
            spoken = await speaking.speak(session, request, plan, voice, report, restore)
        except GenerationFailed as error:
            if not (is_known and error.exception_type == "custom_validation_failed"):
                raise
            await restore()  # the server has deleted the uploaded file since
            spoken = await speaking.speak(session, request, plan, voice, report, restore)
        lacking = graphs.lacking(request, voice.spec)
        warnings = (*voice.warnings, *request.warnings(), *lacking)
        if request.instruct and "instruct" not in voice.spec.inputs:
            warnings = (*warnings, CLONE_INSTRUCT_UNHEARD)
        return spoken.speech(seconds=_now() - began, warnings=warnings)

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """See ``VoiceTrainer.train``. The request's folders are paths on the server's disk."""
        session = self._session()
        spec = await session.spec(graphs.TRAIN)
        base = graphs.base_model(request.model_choice)
        lacks = await checks.missing_model(session, base)
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
            graphs.training(request, spec, node_id=node_id),
            prompt_id=job,
            node_id=node_id,
            timeouts=self._timeouts,
            read_event=read_event,
            limit="training",
            known=request.job_id is not None,
            begins=lambda: Progress(Stage.LOADING, message=speaking.downloading(lacks)),
        )
        try:
            ended = await JobRunner(session, plan, forward_only(on_progress)).run()
            done = speaking.succeeded(ended, request)
        except GenerationFailed as error:
            raise await checks.why_it_failed(session, error, base, None) from error.__cause__
        trained = done.graph[node_id]["inputs"]
        return TrainedVoice(
            checkpoint_path=results.text_output(done.outputs),
            speaker_name=str(trained.get("speaker_name", request.speaker_name)),
            epochs=int(trained.get("num_epochs", request.num_epochs)),
            loss_history=tuple(losses[epoch] for epoch in sorted(losses)),
            backend=BACKEND,
            warnings=(*done.warnings, *graphs.lacking(request, spec)),
        )

    async def status(self) -> BackendStatus:
        """See ``Adapter.status``. Reports the server, its version, its device and its nodes."""
        session, url = self._session(), self._config.comfyui_url
        try:
            server = await session.http.server_info()
            queue = await session.http.queue()
        except TTSError as error:
            problem = Problem(error.message, error.hint or "Check the server's log.")
            return BackendStatus(BACKEND, False, details={"url": url}, problems=(problem,))
        details, problems, speaks = {"url": url}, [], False
        for class_type in graphs.SPEAKING_AND_TRAINING:
            try:
                spec = await session.spec(class_type)
                speaks = speaks or class_type == graphs.CUSTOM_VOICE
                details[class_type] = f"{spec.module or 'present'}: {graphs.describe_version(spec)}"
            except TTSError as error:
                details[class_type] = "missing" if isinstance(error, NodePackMissing) else "unknown"
                problems.append(Problem(error.message, error.hint or "Check the server's log."))
        if speaks:
            problems += await checks.missing_models(session)
            device, changed = speaking.device_for(
                self._config, await session.spec(graphs.CUSTOM_VOICE), server
            )
            details["device sent"] = "; ".join([device, *changed])
        return BackendStatus(
            backend=BACKEND,
            reachable=speaks,
            version=server.version,
            device=server.device,
            models=graphs.models(self._config),
            queue_length=len(queue.running) + len(queue.pending),
            details={**details, "pytorch": server.pytorch_version, "node pack": NODE_PACK},
            problems=tuple(problems),
        )

    async def aclose(self) -> None:
        """Cancel this event loop's jobs on the server and close its connections.

        Calls in progress fail with ``BackendUnavailable``.
        """
        session = self._sessions.get(asyncio.get_running_loop())
        if session is not None:
            await session.aclose()

    def _session(self) -> Session:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closing:
            for other in [other for other in self._sessions if other.is_closed()]:
                del self._sessions[other]

            def forget() -> None:
                if self._sessions.get(loop) is session:
                    del self._sessions[loop]

            session = self._sessions[loop] = Session(
                self._config,
                self._tls,
                on_closed=forget,
                transport=self._transport,
                open_socket=self._open_socket,
            )
        return session


def _check_dataset_size(progress: Progress, request: TrainingRequest) -> None:
    """Reject a training that would never update a weight.

    With fewer batches per epoch than ``gradient_accumulation_steps``, the node never updates a
    weight, but saves a checkpoint anyway.
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


def _now() -> float:
    return asyncio.get_running_loop().time()


def _seed(wanted: int | None) -> int:
    return fresh_seed() if wanted is None else wanted


def _job_id(request: SpeechRequest | CloneRequest | TrainingRequest) -> str:
    """Return the prompt id: a canonical lowercase UUID, which every server version accepts."""
    return request.job_id or str(uuid4())
