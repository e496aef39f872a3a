"""The three ports on a ComfyUI server with the node pack ComfyUI-Qwen-TTS."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import tenacity

from storycore_tts.adapters.comfyui import workflows
from storycore_tts.adapters.comfyui.failures import execution_error, interrupted_error
from storycore_tts.adapters.comfyui.jobs import Job, JobDone, new_prompt_id
from storycore_tts.adapters.comfyui.nodes import NODE_PACK
from storycore_tts.adapters.comfyui.rules import (
    Failed,
    Graph,
    Interrupted,
    speech_progress,
    training_progress,
)
from storycore_tts.adapters.comfyui.session import Session
from storycore_tts.adapters.comfyui.transport import BACKEND, StoredFile, tls_context
from storycore_tts.domain.audio import (
    SAMPLE_RATE,
    Samples,
    UndecodableAudio,
    decode,
    encode,
    is_silent,
)
from storycore_tts.domain.errors import (
    BackendUnavailable,
    GenerationFailed,
    InvalidDataset,
    JobLost,
    NodePackMissing,
    RunawayGeneration,
    SilentAudio,
    TTSError,
)
from storycore_tts.domain.progress import OnProgress, Progress, Stage, forward_only
from storycore_tts.domain.requests import (
    CloneRequest,
    ReferenceAudio,
    SpeechRequest,
    TrainingRequest,
)
from storycore_tts.domain.sampling import fresh_seed
from storycore_tts.domain.speech import Speech, Timings, TrainedVoice
from storycore_tts.domain.text import TOKENS_PER_SECOND
from storycore_tts.domain.voices import Speaker, described
from storycore_tts.ports import BackendStatus, Capabilities, Problem
from storycore_tts.settings import QwenTTSConfig

_FRAME = int(SAMPLE_RATE / TOKENS_PER_SECOND)  # samples of one codec frame
_INLINE_BYTES = 200_000  # files up to this size decode faster than a thread takes them up
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
        prompt_id, seed = new_prompt_id(), _seed(request.sampling.seed)
        graph = workflows.custom_voice(request, self._config, spec, seed=seed, job=prompt_id)
        samples, done = await self._speak(session, request, graph, prompt_id, report)
        voice = graph[workflows.VOICE_ID]["inputs"]
        return Speech(
            samples=samples,
            sample_rate=SAMPLE_RATE,
            backend=BACKEND,
            model=request.checkpoint
            or f"Qwen/Qwen3-TTS-12Hz-{self._config.model_choice}-CustomVoice",
            speaker=request.speaker if request.checkpoint else voice["speaker"],
            language=request.language,
            seed=seed,
            timings=Timings(done.queued, done.running, time.perf_counter() - began),
            warnings=self._instruct_warnings(request),
        )

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
        uploaded = await self._upload(session, request.reference)
        prompt_id, seed = new_prompt_id(), _seed(request.sampling.seed)
        graph = workflows.voice_clone(
            request, self._config, spec, seed=seed, job=prompt_id, uploaded=uploaded
        )
        samples, done = await self._speak(session, request, graph, prompt_id, report)
        return Speech(
            samples=samples,
            sample_rate=SAMPLE_RATE,
            backend=BACKEND,
            model=request.checkpoint or f"Qwen/Qwen3-TTS-12Hz-{self._config.model_choice}-Base",
            language=request.language,
            seed=seed,
            x_vector_only=request.x_vector_only,
            timings=Timings(done.queued, done.running, time.perf_counter() - began),
            warnings=request.warnings(),
        )

    async def train(
        self, request: TrainingRequest, *, on_progress: OnProgress | None = None
    ) -> TrainedVoice:
        """See ``VoiceTrainer.train``. The folders of the request are on the server's own disk."""
        session = self._session()
        report = forward_only(on_progress)
        spec = await session.spec(workflows.TRAIN)
        prompt_id = new_prompt_id()
        node_id = f"train-{prompt_id}"
        losses: dict[int, float] = {}

        def read_event(kind: str, data: Mapping[str, Any]) -> Progress | None:
            progress = training_progress(kind, data, node=node_id)
            if progress is not None:
                _check_dataset_size(progress, request)
                if progress.epoch is not None and progress.loss is not None:
                    losses[progress.epoch] = progress.loss
            return progress

        job = Job(
            session,
            workflows.training(request, spec, node_id=node_id),
            prompt_id=prompt_id,
            node_id=node_id,
            limit=self._timeouts.training,
            limit_name="training",
            read_event=read_event,
            report=report,
        )
        done = await _finish(job, request)
        return TrainedVoice(
            checkpoint_path=_text_output(done.outputs),
            speaker_name=request.speaker_name,
            epochs=request.num_epochs,
            loss_history=tuple(losses[epoch] for epoch in sorted(losses)),
            backend=BACKEND,
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
        details, problems = {"url": url}, []
        for class_type in workflows.SPEAKING_AND_TRAINING:
            try:
                spec = await session.spec(class_type)
                details[class_type] = f"{spec.module or 'present'}: {workflows.likeness(spec)}"
            except TTSError as error:
                details[class_type] = "missing" if isinstance(error, NodePackMissing) else "unknown"
                problems.append(Problem(error.message, error.hint or "Look at the server's log."))
        return BackendStatus(
            backend=BACKEND,
            reachable=not problems,
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
        """Store the reference on the server under a name that its content gives it."""
        data = await asyncio.to_thread(_padded_wav, reference)
        name = f"{hashlib.sha256(data).hexdigest()[:40]}.wav"
        stored = await session.transport.upload(data, name, workflows.FOLDER)
        return f"{stored.subfolder}/{stored.filename}" if stored.subfolder else stored.filename

    async def _speak(
        self,
        session: Session,
        request: SpeechRequest | CloneRequest,
        graph: Graph,
        prompt_id: str,
        report: Callable[[Progress], None],
    ) -> tuple[Samples, JobDone]:
        """Run a graph that ends in a sound, and return the sound if it is speech."""
        voice = workflows.VOICE_ID
        job = Job(
            session,
            graph,
            prompt_id=prompt_id,
            node_id=voice,
            limit=self._timeouts.job,
            limit_name="job",
            read_event=lambda kind, data: speech_progress(kind, data, voice_node=voice),
            report=report,
        )
        done = await _finish(job, request)
        report(Progress(Stage.DOWNLOADING))
        samples = await self._download(session, _audio_output(done.outputs))
        _check_speech(samples, tokens=graph[voice]["inputs"]["max_new_tokens"])
        report(Progress(Stage.DOWNLOADING, 1.0))
        return samples, done

    async def _download(self, session: Session, file: StoredFile) -> Samples:
        """Fetch and decode a sound; one that arrives damaged is fetched again, twice at most."""
        fetching = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type((UndecodableAudio, BackendUnavailable)),
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(0.1, max=1.0),
            reraise=True,
        )
        try:
            return await fetching(_fetch, session, file)
        except UndecodableAudio as error:
            raise GenerationFailed(
                f"The audio that ComfyUI made arrives damaged, three times in a row: {error}.",
                hint="Look at the server's output folder and at what stands between it and you.",
                backend=BACKEND,
                retryable=True,
            ) from error

    def _instruct_warnings(self, request: SpeechRequest) -> tuple[str, ...]:
        if request.instruct and self._config.model_choice == "0.6B":
            return ("the 0.6B model does not listen to instruct; choose model_choice 1.7B",)
        return ()


async def _fetch(session: Session, file: StoredFile) -> Samples:
    data = await session.transport.download(file)
    if data is None:
        raise JobLost(
            f"ComfyUI finished the job, but its file {file.filename} is gone.",
            hint="Does something clean the server's output folder? Ask again.",
            backend=BACKEND,
        )
    inline = len(data) <= _INLINE_BYTES
    samples, sample_rate = decode(data) if inline else await asyncio.to_thread(decode, data)
    if sample_rate != SAMPLE_RATE:
        raise GenerationFailed(
            f"ComfyUI delivered audio at {sample_rate} Hz; Qwen3-TTS speaks at {SAMPLE_RATE} Hz.",
            hint=f"Is the node pack {NODE_PACK} of another version than 1.0.6?",
            backend=BACKEND,
        )
    return samples


async def _finish(job: Job, request: SpeechRequest | CloneRequest | TrainingRequest) -> JobDone:
    """Run a job; an outcome other than success is an error."""
    outcome, done = await job.run()
    if isinstance(outcome, Failed):
        raise execution_error(outcome, request=request)
    if isinstance(outcome, Interrupted):
        raise interrupted_error()
    return done


def _audio_output(outputs: Mapping[str, Any]) -> StoredFile:
    output = outputs.get(workflows.OUTPUT_ID)
    files = output.get("audio") if isinstance(output, dict) else None
    first = files[0] if isinstance(files, list) and files else None
    if not isinstance(first, dict) or not isinstance(first.get("filename"), str):
        raise _no_output("names no audio file")
    # The type is passed on as it is: a preview lies in "temp", a saved file in "output".
    return StoredFile(
        first["filename"], str(first.get("subfolder") or ""), str(first.get("type") or "output")
    )


def _text_output(outputs: Mapping[str, Any]) -> str:
    output = outputs.get(workflows.OUTPUT_ID)
    texts = output.get("text") if isinstance(output, dict) else None
    if not isinstance(texts, list) or not texts or not isinstance(texts[0], str):
        raise _no_output("names no checkpoint")
    return texts[0]


def _no_output(what: str) -> GenerationFailed:
    return GenerationFailed(
        f"ComfyUI says that the job is done, but its history {what}.",
        hint="Look at the server's own log.",
        node_id=workflows.OUTPUT_ID,
        backend=BACKEND,
    )


def _check_speech(samples: Samples, *, tokens: int) -> None:
    """Refuse what is no speech: silence, and audio that ran into its token budget.

    N tokens make N−1 frames, and the pack's copy of the codec drops 555 samples for each 300 frames
    that it starts (measured on 1.0.6).
    """
    longest = (tokens - 1) * _FRAME - 555 * math.ceil(tokens / 300)
    seconds = len(samples) / SAMPLE_RATE
    if len(samples) >= longest - 2 * _FRAME:
        raise RunawayGeneration(
            f"The model did not stop speaking: {seconds:.1f} s of audio fill the budget of "
            f"{tokens} tokens.",
            partial_duration=seconds,
            hint="Ask again with another seed; about one generation in two hundred does this.",
            backend=BACKEND,
        )
    if is_silent(samples):
        raise SilentAudio(
            f"ComfyUI delivered {seconds:.1f} s of silence.",
            hint="Ask again; if it stays silent, check the versions of torch and transformers on "
            "the server.",
            backend=BACKEND,
        )


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
