"""How a line is spoken on a server: what it has, the job, its sound."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from storycore_tts.adapters.comfyui import checks
from storycore_tts.adapters.comfyui.downloads import fetch_audio
from storycore_tts.adapters.comfyui.protocol import failures, graphs, results
from storycore_tts.adapters.comfyui.protocol.devices import device_to_send
from storycore_tts.adapters.comfyui.protocol.messages import (
    Failed,
    Graph,
    Interrupted,
    speech_progress,
)
from storycore_tts.adapters.comfyui.protocol.nodes import NodeSpec
from storycore_tts.adapters.comfyui.protocol.plan import GIVEN_AGAIN, JobDone, JobPlan
from storycore_tts.adapters.comfyui.runner import JobRunner
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.adapters.comfyui.transport.http import ServerInfo
from storycore_tts.domain.errors import GenerationFailed, JobLost, UnknownSpeaker
from storycore_tts.domain.progress import OnProgress, Progress, Stage
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.speech import Speech
from storycore_tts.settings import QwenTTSConfig
from storycore_tts.sound.files import encode
from storycore_tts.sound.samples import Samples


@dataclass(frozen=True)
class Voice:
    """What the server was found to have, before a job is given to it.

    Args:
        spec: The node that speaks.
        config: The settings, with the device that is sent.
        model: The stock model that the node would load.
        checkpoint: What it is to load instead.
        lacks: What is missing of the model, if the server will have to download it.
        warnings: For the result.
    """

    spec: NodeSpec
    config: QwenTTSConfig
    model: str
    checkpoint: str | None
    lacks: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Spoken:
    """A sound, the job that made it, and whether its checkpoint is known to have spoken."""

    samples: Samples
    done: JobDone
    verified: bool

    def speech(self, *, seconds: float, warnings: tuple[str, ...]) -> Speech:
        """Return the result."""
        return results.speech(
            self.samples, self.done, seconds=seconds, verified=self.verified, warnings=warnings
        )


def device_for(
    config: QwenTTSConfig, spec: NodeSpec, server: ServerInfo
) -> tuple[str, tuple[str, ...]]:
    """Return the device that a node on this server is sent, and what to warn of."""
    offered, there = spec.choices("device"), server.device_types
    return device_to_send(config.device, offered=offered, there=there)


async def look_at(session: Session, class_type: str, model: str, checkpoint: str | None) -> Voice:
    """Look at the server before a job is given to it."""
    spec, server = await session.spec(class_type), await session.server()
    device, warnings = device_for(session.config, spec, server)
    config, lacks = session.config.model_copy(update={"device": device}), None
    if checkpoint is None:
        lacks = await checks.missing_model(session, model)
    else:
        await checks.check_checkpoint(session, checkpoint)
    return Voice(spec, config, model, checkpoint, lacks, warnings)


def plan_of(
    session: Session,
    request: SpeechRequest | CloneRequest,
    graph: Graph,
    job: str,
    voice: Voice,
) -> JobPlan:
    """Say what a job that speaks is, and what is heard of it."""
    if voice.checkpoint and session.checkpoints.get(voice.checkpoint) is False:
        graphs.reload_model(graph)  # the server may still hold the stock model in its place
    memory = graphs.model_in_memory(graph)

    def begins() -> Progress:
        if memory is not None and session.in_memory == memory:
            return Progress(Stage.GENERATING, 0.0)
        return Progress(Stage.LOADING, message=downloading(voice.lacks))

    def read_event(kind: str, data: Mapping[str, Any]) -> Progress | None:
        if kind == "execution_success":
            session.in_memory = memory
        progress = speech_progress(kind, data, voice_node=graphs.VOICE_ID)
        is_loading = progress is not None and progress.stage is Stage.LOADING
        return begins() if is_loading else progress

    return JobPlan(
        graph,
        prompt_id=job,
        node_id=graphs.VOICE_ID,
        timeouts=session.config.comfyui.timeouts,
        read_event=read_event,
        known=request.job_id is not None,
        has_files=isinstance(request, CloneRequest),
        begins=begins,
    )


async def speak(
    session: Session,
    request: SpeechRequest | CloneRequest,
    plan: JobPlan,
    voice: Voice,
    report: OnProgress,
    restore: Callable[[], Awaitable[None]] | None = None,
) -> Spoken:
    """Run a graph that ends in a sound, and return the sound."""
    breaks = session.breaks
    done, verified = await _run(session, request, plan, voice, report, restore)
    report(Progress(Stage.DOWNLOADING))
    try:
        samples = await fetch_audio(session, results.audio_output(done.outputs))
    except JobLost:
        if session.breaks == breaks:
            raise
        if restore is not None:  # a server that starts deletes recordings and speech alike
            await restore()
        done, verified = await _run(session, request, plan, voice, report, restore)
        done = replace(done, warnings=(*done.warnings, GIVEN_AGAIN))
        samples = await fetch_audio(session, results.audio_output(done.outputs))
    report(Progress(Stage.DOWNLOADING, 1.0))
    return Spoken(samples, done, verified)


async def _run(
    session: Session,
    request: SpeechRequest | CloneRequest,
    plan: JobPlan,
    voice: Voice,
    report: OnProgress,
    restore: Callable[[], Awaitable[None]] | None,
) -> tuple[JobDone, bool]:
    """Run a graph, and tell whether the checkpoint in it is known to have spoken."""
    try:
        done = succeeded(await JobRunner(session, plan, report, restore).run(), request)
    except (GenerationFailed, UnknownSpeaker) as error:
        found = await checks.why_it_failed(session, error, voice.model, voice.checkpoint)
        raise found from error.__cause__
    return done, await checks.spoke_with(session, done.graph, voice.spec)


@dataclass(frozen=True)
class Upload:
    """A reference as it is stored on the server: under a name that its content gives it."""

    data: bytes
    name: str

    @classmethod
    def of(cls, reference: ReferenceAudio) -> Upload:
        """Return what is stored for a recording; blocks while it encodes."""
        data = encode(reference.padded(), reference.sample_rate, ".wav")
        return cls(data, f"{hashlib.sha256(data).hexdigest()[:40]}.wav")


async def uploaded(session: Session, reference: Upload) -> str:
    """Store a reference on the server unless it is there, and return how LoadAudio calls it.

    Raises:
        TTSError: It could not be sent, or arrived damaged.
    """

    async def upload() -> str:
        stored = await session.http.upload(reference.data, reference.name, graphs.FOLDER)
        # Damaged on its way, it would clone another voice, and nothing would say so.
        if await session.http.download(stored) != reference.data:
            raise failures.damaged_upload_error()
        path = f"{stored.subfolder}/{stored.filename}" if stored.subfolder else stored.filename
        return f"{path} [{stored.type}]"

    return await session.lookups.get(reference.name, upload)


def downloading(lacks: str | None) -> str:
    """Return what is said while a model is loaded of which something is missing."""
    return f"{lacks}: the server tries to download it" if lacks else ""


def succeeded(done: JobDone, request: SpeechRequest | CloneRequest | TrainingRequest) -> JobDone:
    """Return a job that has ended; an outcome other than success is an error."""
    if isinstance(done.outcome, Failed):
        raise failures.execution_error(done.outcome, request=request)
    if isinstance(done.outcome, Interrupted):
        raise failures.stopped_error(ran=True)
    return done
