"""The behaviour of the Qwen-TTS pack's voice nodes and ComfyUI's own audio nodes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from . import faults as fault
from .checkpoints import Checkpoint, Checkpoints
from .faults import Faults, HoldPoint
from .installation import ServerLog, is_installed
from .options import Options
from .speech import (
    SAMPLE_RATE,
    Audio,
    Speaking,
    decode,
    encode,
    instant_audio,
    instant_flac,
    most_samples,
    speak,
)
from .storage import OutsideFolder, Storage

THROTTLE = 0.1
"""Seconds between progress reports on newer servers."""
OFFLINE = "We couldn't connect to 'https://huggingface.co' to load the files"
_NOT_FOUND = "Custom model path not found or invalid"
SHORTEST_REFERENCE = 0.04
"""Seconds; the pack's mel spectrogram cannot pad shorter audio."""


class NodeFailed(Exception):
    """A node failed; the client receives exception_type and exception_message."""

    def __init__(self, exception_type: str, message: str) -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.message = message


class Interrupted(Exception):
    """The run was interrupted. Raised at the same points as in ComfyUI."""


@dataclass(frozen=True)
class Result:
    """A node's result: values for its output slots, and optionally a history entry."""

    values: tuple[Any, ...] = ()
    ui: dict[str, Any] | None = None


class Server(Protocol):
    """The parts of the server that nodes use."""

    options: Options
    faults: Faults
    storage: Storage
    checkpoints: Checkpoints
    printed: ServerLog

    def stock_speakers(self) -> Collection[str]:
        """Speakers of the stock model, in lowercase."""

    def broadcast(self, event: str, data: Mapping[str, Any]) -> None:
        """Send a frame to every client."""

    def model_loaded(self, name: str) -> None:
        """Record that a model was loaded."""


@dataclass
class ModelSlot:
    """The single model that the pack keeps in memory; without a checkpoint, the stock model."""

    key: tuple[str, ...] | None = None
    checkpoint: Checkpoint | None = None


@dataclass
class NodeRun:
    """One execution of a node, with everything that it can access."""

    server: Server
    model: ModelSlot
    prompt_id: str
    client_id: str | None
    node_id: str
    node_type: str
    graph: Mapping[str, Any]
    report: Callable[[int, int], None]
    check_interrupt: Callable[[], None]
    interrupt: Callable[[], None]
    inputs: dict[str, Any] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _reported_at: float = -math.inf

    @property
    def context(self) -> dict[str, str | None]:
        """The values that faults are matched against."""
        return {
            "prompt_id": self.prompt_id,
            "client_id": self.client_id,
            "node_type": self.node_type,
        }

    def take(self, cls: type[fault.F]) -> fault.F | None:
        """Return the scripted fault of a class that applies to this node, if any."""
        return self.server.faults.take(cls, **self.context)

    async def hold(self, at: HoldPoint) -> None:
        """Wait here if the script holds the job at this point."""
        await self.server.faults.pass_gate(at, **self.context)

    def progress(self, value: int, total: int) -> None:
        """Report progress. As in ComfyUI, this also checks for an interruption.

        Newer servers report the first step, the last step, and at most one step per 0.1 s between.
        """
        now = self.clock()
        is_due = value >= total or now - self._reported_at >= THROTTLE
        if self.server.options.modern and not is_due:
            return
        self._reported_at = now
        self.check_interrupt()
        self.report(value, total)

    async def load_model(self, kind: str, size: str) -> None:
        """Load the requested model; reload it on any change.

        "auto" attention, and kernels that are not installed, never equal their resolved value, so
        the pack reloads on every run. That takes seconds with a real model.
        """
        await self.hold("loading")
        device, attention = self.inputs["device"], self.inputs.get("attention", "auto")
        if device == "cuda" and not self.server.options.has_cuda:
            raise NodeFailed("AssertionError", "Torch not compiled with CUDA enabled")
        path = self.inputs.get("custom_model_path", "")
        key = (kind, size, device, self.inputs["precision"], attention, path)
        if key == self.model.key and attention in ("sdpa", "eager"):
            return
        self.model.key = None
        checkpoint = self._find(path.strip())
        slow = self.take(fault.SlowModelLoad)
        await pause(slow.seconds if slow else self.server.options.model_load_seconds)
        if checkpoint is None and not is_installed(self.server.options, kind, size):
            raise NodeFailed("OSError", OFFLINE)
        self.model.key, self.model.checkpoint = key, checkpoint
        self.server.model_loaded(f"{kind} {size}")

    def _find(self, path: str) -> Checkpoint | None:
        """Return the checkpoint; if missing, this is only printed, and the stock model is used."""
        checkpoint = self.server.checkpoints.at(path)
        if path:
            found = "Using custom model path" if checkpoint else _NOT_FOUND
            self.server.printed.print(f"{'🔧' if checkpoint else '⚠️'} [Qwen3-TTS] {found}: {path}")
        return checkpoint

    async def generate(self, speaking: Speaking) -> Audio:
        """Generate audio within the token budget, with the script's changes to it."""
        await self.hold("running")
        if self.take(fault.InterruptedByAnother):
            self.interrupt()
        await pause(self.server.options.seconds_per_step)
        if self.server.options.instant:
            audio = instant_audio()
        else:
            audio = Audio(await asyncio.to_thread(speak, speaking))
        await pause(self.server.options.real_time_factor * len(audio.samples) / SAMPLE_RATE)
        return self._altered(audio)

    def _altered(self, audio: Audio) -> Audio:
        budget = most_samples(self.inputs.get("max_new_tokens", 2048))
        if self.take(fault.RunawayAudio):
            return Audio(np.resize(audio.samples, budget))
        if self.take(fault.SilentAudio):
            return Audio(np.zeros_like(audio.samples))
        if quiet := self.take(fault.QuietAudio):
            peak = float(np.abs(audio.samples).max()) or 1.0
            return Audio((audio.samples * (quiet.peak / peak)).astype(np.float32))
        return audio if len(audio.samples) <= budget else Audio(audio.samples[:budget])

    def forget_model(self) -> None:
        """Honour unload_model_after_generate."""
        if self.inputs.get("unload_model_after_generate"):
            self.model.key = None


async def pause(seconds: float) -> None:
    """Sleep for ``seconds``; 0 does not yield to other tasks."""
    if seconds > 0:
        await asyncio.sleep(seconds)


# The pack -------------------------------------------------------------------------------------


async def custom_voice(run: NodeRun) -> Result:
    """FB_Qwen3TTSCustomVoice."""
    inputs = run.inputs
    if not inputs["text"]:
        raise NodeFailed("RuntimeError", "Text is required")
    run.progress(1, 3)
    await run.load_model("CustomVoice", inputs["model_choice"])
    run.progress(2, 3)
    path, checkpoint = inputs.get("custom_model_path", "").strip(), run.model.checkpoint
    if checkpoint and checkpoint.kind != "custom_voice":
        raise _wrong_kind(checkpoint.kind, checkpoint.size, "generate_custom_voice")
    speaker = inputs.get("custom_speaker_name", "").strip() or inputs["speaker"]
    supported = checkpoint.speakers if checkpoint else run.server.stock_speakers()
    if speaker.lower() not in supported:
        words = f"Unsupported speakers: {[speaker.lower()]}. Supported: {sorted(supported)}"
        raise NodeFailed("ValueError", words)
    speaking = Speaking(
        text=inputs["text"],
        speaker=speaker,
        language=inputs["language"],
        seed=inputs.get("seed", 0),
        # The 0.6B model silently ignores instructions.
        instruct=inputs.get("instruct", "") if inputs["model_choice"] == "1.7B" else "",
        character=f"{path} {speaker.lower()}" if checkpoint else "",
    )
    return await _spoken(run, speaking)


async def voice_clone(run: NodeRun) -> Result:
    """FB_Qwen3TTSVoiceClone."""
    inputs = run.inputs
    reference = inputs.get("ref_audio")
    if not inputs["target_text"]:
        raise NodeFailed("RuntimeError", "Target text is required")
    if reference is None and inputs.get("voice_clone_prompt") is None:
        words = "Either reference audio or voice clone prompt is required"
        raise NodeFailed("RuntimeError", words)
    run.progress(1, 3)
    await run.load_model("Base", inputs["model_choice"])
    run.progress(2, 3)
    if not isinstance(reference, Audio):
        raise NodeFailed("RuntimeError", "Unsupported reference audio format")
    checkpoint = run.model.checkpoint
    if checkpoint and checkpoint.kind != "base":
        wrong = _wrong_kind(checkpoint.kind, checkpoint.size, "generate_voice_clone")
        raise _generation_failed(wrong.message)
    if not inputs.get("ref_text") and not inputs.get("x_vector_only"):
        words = "ref_text is required when x_vector_only_mode=False (ICL mode). Bad index=0"
        raise _generation_failed(words)
    if reference.seconds < SHORTEST_REFERENCE:
        length = int(reference.seconds * SAMPLE_RATE)
        raise _generation_failed(
            "Argument #4: Padding size should be less than the corresponding input dimension, "
            f"but got: padding (384, 384) at dimension 2 of input [1, 1, {length}]"
        )
    speaking = Speaking(
        text=inputs["target_text"],
        speaker="Ryan",
        language=inputs["language"],
        seed=inputs.get("seed", 0),
        character=hashlib.sha256(reference.samples.tobytes()).hexdigest(),
    )
    return await _spoken(run, speaking)


async def voice_design(run: NodeRun) -> Result:
    """FB_Qwen3TTSVoiceDesign."""
    inputs = run.inputs
    if not inputs["text"] or not inputs["instruct"]:
        raise NodeFailed("RuntimeError", "Text and instruction description are required")
    run.progress(1, 3)
    if inputs["model_choice"] != "1.7B":
        raise NodeFailed("RuntimeError", "❌ VoiceDesign only supports 1.7B models!")
    await run.load_model("VoiceDesign", inputs["model_choice"])
    run.progress(2, 3)
    speaking = Speaking(
        text=inputs["text"],
        speaker="Ryan",
        language=inputs["language"],
        seed=inputs.get("seed", 0),
        character=inputs["instruct"],
    )
    return await _spoken(run, speaking)


async def _spoken(run: NodeRun, speaking: Speaking) -> Result:
    if not speaking.text.strip():
        run.progress(3, 3)
        raise NodeFailed("RuntimeError", "Invalid audio data generated")
    audio = await run.generate(speaking)
    run.progress(3, 3)
    run.forget_model()
    return Result((audio,))


def _wrong_kind(kind: str, size: str, method: str) -> NodeFailed:
    return NodeFailed(
        "ValueError",
        "model with \ntokenizer_type: qwen3_tts_tokenizer_12hz\n"
        f"tts_model_size: {size}\ntts_model_type: {kind}\n"
        f"does not support {method}, Please check Model Card or Readme for more details.",
    )


def _generation_failed(message: str) -> NodeFailed:
    return NodeFailed("RuntimeError", f"Generation failed: {message}")


# ComfyUI's own --------------------------------------------------------------------------------


async def load_audio(run: NodeRun) -> Result:
    """LoadAudio."""
    path = run.server.storage.annotated(run.inputs["audio"])
    return Result((decode(path.read_bytes()),))


async def save_audio(run: NodeRun) -> Result:
    """SaveAudio: FLAC in the output folder."""
    return _saved(run, "output", run.inputs["filename_prefix"])


async def preview_audio(run: NodeRun) -> Result:
    """PreviewAudio: FLAC in the temp folder, with its own prefix."""
    letters = hashlib.sha256(f"{run.node_id} {run.prompt_id}".encode()).hexdigest()
    # ComfyUI adds five random letters to each name, so that names are not reused after a restart,
    # which empties the folder. A digest gives deterministic letters.
    tail = "".join("abcdefghijklmnop"[int(digit, 16)] for digit in letters[:5])
    return _saved(run, "temp", f"ComfyUI_temp_{tail}")


def _saved(run: NodeRun, kind: str, prefix: str) -> Result:
    audio = run.inputs["audio"]
    if not isinstance(audio, Audio):
        raise NodeFailed("TypeError", "string indices must be integers, not 'str'")
    if run.take(fault.DiskFull):
        raise NodeFailed("OSError", "[Errno 28] No space left on device")
    storage = run.server.storage
    try:
        suffix = ".flac" if run.server.options.modern else "_.flac"
        subfolder, name = storage.next_name(kind, prefix, suffix)
    except OutsideFolder as exc:
        words = "**** ERROR: Saving image outside the output folder is not allowed."
        raise NodeFailed("Exception", f"{words}\n full_output_folder: {exc}") from exc
    storage.write(kind, subfolder, name, _file_bytes(run, audio))
    if run.take(fault.OutputDeleted):
        storage.delete(kind, subfolder, name)
    return Result(ui={"audio": [{"filename": name, "subfolder": subfolder, "type": kind}]})


def _file_bytes(run: NodeRun, audio: Audio) -> bytes:
    if audio is instant_audio():
        data = instant_flac()
    else:
        # The real server writes the whole graph, text included, into the file's metadata.
        data = encode(audio, "FLAC", comment=json.dumps({"prompt": run.graph}))
    if truncated := run.take(fault.TruncatedFile):
        return data[: int(len(data) * truncated.keep)]
    return b"" if run.take(fault.EmptyFile) else data


async def preview_any(run: NodeRun) -> Result:
    """PreviewAny: the value as text."""
    source = run.inputs["source"]
    text = source if isinstance(source, str) else json.dumps(source, default=str, indent=4)
    return Result(ui={"text": [text]})


Node = Callable[[NodeRun], Awaitable[Result]]
