"""Generates speech on a server: checks the server, runs the job and downloads the audio."""

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
from storycore_tts.domain.progress import OnProgress, Progress, Stage
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.speech import Speech
from storycore_tts.errors import GenerationFailed, JobLost, UnknownSpeaker
from storycore_tts.settings import QwenTTSConfig
from storycore_tts.sound.files import encode
from storycore_tts.sound.samples import Samples


@dataclass(frozen=True)
class GraphVoice:
    """The node and the model for a job, as found on the server.

    Args:
        spec: The voice node.
        config: The settings, with the device to send.
        model: The stock model for the node.
        checkpoint: The checkpoint to load instead, or None.
        lacks: Description of what is missing of the model, if the server has to download it.
        warnings: Warnings for the result.
    """

    spec: NodeSpec
    config: QwenTTSConfig
    model: str
    checkpoint: str | None
    lacks: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Spoken:
    """Audio, the job that made it, and whether the job verifiably used its checkpoint."""

    samples: Samples
    done: JobDone
    verified: bool

    def speech(self, *, seconds: float, warnings: tuple[str, ...]) -> Speech:
        """Return the result of the request."""
        return results.speech(
            self.samples, self.done, seconds=seconds, verified=self.verified, warnings=warnings
        )


def device_for(
    config: QwenTTSConfig, spec: NodeSpec, server: ServerInfo
) -> tuple[str, tuple[str, ...]]:
    """Return the device to send to a node on this server, and warnings.

    Args:
        config: The settings.
        spec: The node.
        server: Information about the server.
    """
    offered, there = spec.choices("device"), server.device_types
    return device_to_send(config.device, offered=offered, there=there)


async def look_at(
    session: Session, class_type: str, model: str, checkpoint: str | None
) -> GraphVoice:
    """Check the server before a job is submitted.

    Args:
        session: The session.
        class_type: Class of the voice node.
        model: The stock model for the node.
        checkpoint: Folder of a checkpoint to load instead, or None.

    Raises:
        TTSError: The server cannot run the job.
    """
    spec, server = await session.spec(class_type), await session.server()
    device, warnings = device_for(session.config, spec, server)
    config, lacks = session.config.model_copy(update={"device": device}), None
    if checkpoint is None:
        lacks = await checks.missing_model(session, model)
    else:
        await checks.check_checkpoint(session, checkpoint)
    return GraphVoice(spec, config, model, checkpoint, lacks, warnings)


def plan_of(
    session: Session,
    request: SpeechRequest | CloneRequest,
    graph: Graph,
    job: str,
    voice: GraphVoice,
) -> JobPlan:
    """Return the description of a speech job.

    Args:
        session: The session.
        request: The request.
        graph: The graph to run.
        job: The prompt id.
        voice: Result of ``look_at``.
    """
    if voice.checkpoint and session.checkpoints.get(voice.checkpoint) is False:
        graphs.reload_model(graph)  # the server may have cached the stock model instead
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
    voice: GraphVoice,
    report: OnProgress,
    restore: Callable[[], Awaitable[None]] | None = None,
) -> Spoken:
    """Run a speech job and return its audio.

    Args:
        session: The session.
        request: The request.
        plan: Description of the job.
        voice: Result of ``look_at``.
        report: Progress callback.
        restore: Uploads the files of the graph again; None if it needs none.

    Raises:
        TTSError: The job failed.
    """
    breaks = session.breaks
    done, verified = await _run(session, request, plan, voice, report, restore)
    report(Progress(Stage.DOWNLOADING))
    try:
        samples = await fetch_audio(session, results.audio_output(done.outputs))
    except JobLost:
        if session.breaks == breaks:
            raise
        if restore is not None:  # a restarted server deletes its temporary files
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
    voice: GraphVoice,
    report: OnProgress,
    restore: Callable[[], Awaitable[None]] | None,
) -> tuple[JobDone, bool]:
    """Run a job; also return whether it verifiably used its checkpoint."""
    try:
        done = succeeded(await JobRunner(session, plan, report, restore).run(), request)
    except (GenerationFailed, UnknownSpeaker) as error:
        found = await checks.why_it_failed(session, error, voice.model, voice.checkpoint)
        raise found from error.__cause__
    return done, await checks.spoke_with(session, done.graph, voice.spec)


@dataclass(frozen=True)
class Upload:
    """A reference recording for upload, named by the hash of its content."""

    data: bytes
    name: str

    @classmethod
    def of(cls, reference: ReferenceAudio) -> Upload:
        """Encode a recording for upload; blocks."""
        data = encode(reference.padded(), reference.sample_rate, ".wav")
        return cls(data, f"{hashlib.sha256(data).hexdigest()[:40]}.wav")


async def uploaded(session: Session, reference: Upload) -> str:
    """Upload a reference unless that was done before; return its name for LoadAudio.

    Args:
        session: The session.
        reference: The reference recording.

    Raises:
        TTSError: The upload failed, or the file was damaged.
    """

    async def upload() -> str:
        stored = await session.http.upload(reference.data, reference.name, graphs.FOLDER)
        # Verified, since a damaged recording would silently clone a different voice.
        if await session.http.download(stored) != reference.data:
            raise failures.damaged_upload_error()
        path = f"{stored.subfolder}/{stored.filename}" if stored.subfolder else stored.filename
        return f"{path} [{stored.type}]"

    return await session.lookups.get(reference.name, upload)


def downloading(lacks: str | None) -> str:
    """Return the progress message for loading a model that is incomplete on the server."""
    return f"{lacks}: the server is downloading it" if lacks else ""


def succeeded(done: JobDone, request: SpeechRequest | CloneRequest | TrainingRequest) -> JobDone:
    """Return a finished job; raise an error unless it succeeded."""
    if isinstance(done.outcome, Failed):
        raise failures.execution_error(done.outcome, request=request)
    if isinstance(done.outcome, Interrupted):
        raise failures.stopped_error(ran=True)
    return done
