"""A loaded model: ``qwen_tts`` with a ``Watch``. Everything here runs in a worker thread."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from storycore_tts.adapters.direct import failures
from storycore_tts.adapters.direct.checkpoints import Checkpoint, fetched
from storycore_tts.adapters.direct.devices import Hardware, Placement, place
from storycore_tts.adapters.direct.loading import load_model
from storycore_tts.adapters.direct.package import load_package
from storycore_tts.adapters.direct.parameters import generation_options
from storycore_tts.adapters.direct.prompts import PromptCache, PromptKey
from storycore_tts.adapters.direct.speech_jobs import SpeechJob, StreamedPiece
from storycore_tts.adapters.direct.streaming import ChunkDecoder
from storycore_tts.adapters.direct.watch import Abandoned, Watch
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.settings import QwenTTSConfig
from storycore_tts.sound.samples import SAMPLE_RATE, Samples


@dataclass(frozen=True)
class GeneratedAudio:
    """The result of one row.

    Args:
        samples: Audio at 24 kHz; empty for a stream. Contains NaN or infinity if the model failed.
        seconds: Seconds of speech.
        ran_away: Whether it ended only because its token budget was used up.
    """

    samples: Samples
    seconds: float
    ran_away: bool


class Engine:
    """One model in memory.

    Args:
        checkpoint: The checkpoint to load.
        version: Version of the checkpoint's files.
        config: Device, precision, attention and streaming settings.
        prompts: Cache of references that were prepared for cloning.

    Raises:
        BackendUnavailable: A package, the weights or the device is missing.
        OutOfMemory: The model does not fit into memory.
    """

    def __init__(
        self, checkpoint: Checkpoint, version: object, config: QwenTTSConfig, prompts: PromptCache
    ) -> None:
        self._name = checkpoint.name
        self._identity = (checkpoint, version)
        self._streaming = config.direct
        self._prompts = prompts
        with failures.loading(checkpoint.name):
            load_package()
            self.placement: Placement = place(config, Hardware.here())
            self._model: Any = load_model(
                fetched(checkpoint),
                device=self.placement.device,
                dtype=self.placement.dtype,
                attention=self.placement.attention,
            )

    def speak(self, batch: Sequence[SpeechJob], seed: int) -> list[GeneratedAudio]:
        """Generate a batch of lines that have the same sampling.

        Args:
            batch: The jobs of the lines, which receive progress.
            seed: Seed of torch's generators, whose state is restored afterwards.

        Returns:
            A take for each job; empty if all jobs were cancelled.

        Raises:
            OutOfMemory: The batch does not fit into memory.
            GenerationFailed: The model failed.
            DeviceLost: The GPU has failed and cannot be used by this process any more.
        """
        talker = self._model.model.talker
        with failures.generating(self._name, len(batch)):
            prompts = [self._prompt(job) for job in batch]
            stream = self._stream(batch[0], prompts[0], seed) if batch[0].streamed else None
            watch = Watch(batch, end=talker.config.codec_eos_token_id, stream=stream)
            hook = talker.register_forward_hook(watch)
            try:
                with self._seeded(seed), self._decoding(whole=stream is None):
                    waves = self._generate(batch, prompts)
            except Abandoned:
                return []
            finally:
                hook.remove()
            if stream is not None:
                stream.finish()
        return [
            GeneratedAudio(_clean(wave), watch.seconds(index), watch.ran_away(index))
            for index, wave in enumerate(waves)
        ]

    def unload(self) -> None:
        """Free the model's memory."""
        self._model = None
        give_back_memory()

    def _generate(self, batch: Sequence[SpeechJob], prompts: Sequence[Any]) -> list[Any]:
        lines = [job.line for job in batch]
        options = generation_options(lines)
        if lines[0].reference is None:
            options["speaker"] = [line.speaker for line in lines]
            options["instruct"] = [line.instruct for line in lines]
            waves, _ = self._model.generate_custom_voice(**options)
        else:
            waves, _ = self._model.generate_voice_clone(voice_clone_prompt=list(prompts), **options)
        return list(waves)

    def _prompt(self, job: SpeechJob) -> Any:
        reference, only = job.line.reference, job.line.x_vector_only
        if reference is None:
            return None
        key = PromptKey.of(self._identity, reference, x_vector_only=only)
        return self._prompts.get(key, lambda: self._prepared(reference, x_vector_only=only))

    def _prepared(self, reference: ReferenceAudio, *, x_vector_only: bool) -> tuple[Any, int]:
        """Prepare a recording for cloning; return it, in CPU memory, and its size in bytes."""
        # Never pass a string: the package would download one that looks like a URL.
        audio = (reference.padded(), int(reference.sample_rate))
        (prompt,) = self._model.create_voice_clone_prompt(
            ref_audio=audio,
            ref_text=None if x_vector_only else reference.transcript,
            x_vector_only_mode=x_vector_only,
        )
        size = 0
        for name in ("ref_code", "ref_spk_embedding"):
            tensor = getattr(prompt, name)
            if tensor is not None:
                setattr(prompt, name, tensor.cpu())
                size += tensor.numel() * tensor.element_size()
        return prompt, size

    def _stream(self, job: SpeechJob, prompt: Any, seed: int) -> ChunkDecoder:
        import torch

        codec, device = self._model.model.speech_tokenizer, self._model.device
        spoken_before = getattr(prompt, "ref_code", None)

        def decode(frames: Sequence[Any]) -> Samples:
            waves, _ = codec.decode([{"audio_codes": torch.stack(list(frames))}])
            return _clean(waves[0])

        return ChunkDecoder(
            decode,
            lambda samples: job.tell(StreamedPiece(samples, seed, job.warnings)),
            first=self._streaming.first_chunk_frames,
            then=self._streaming.chunk_frames,
            before=() if spoken_before is None else list(spoken_before.to(device)),
        )

    @contextlib.contextmanager
    def _seeded(self, seed: int) -> Iterator[None]:
        """Seed torch's global generators, and restore their state afterwards."""
        import torch

        on_gpu = self.placement.device.startswith("cuda")
        with torch.random.fork_rng(devices=[self.placement.device] if on_gpu else []):
            torch.manual_seed(seed)
            yield

    @contextlib.contextmanager
    def _decoding(self, *, whole: bool) -> Iterator[None]:
        """Stop the package from decoding again at the end what a stream has already decoded."""
        model = self._model.model
        codec = model.speech_tokenizer
        model.speech_tokenizer = codec if whole else _Silent()
        try:
            yield
        finally:
            model.speech_tokenizer = codec


class _Silent:
    """Replaces the codec and decodes nothing."""

    def decode(self, encoded: Sequence[Any]) -> tuple[list[Samples], int]:
        return [np.zeros(0, np.float32) for _ in encoded], SAMPLE_RATE


def give_back_memory() -> None:
    """Return freed memory to the device and to the system."""
    gc.collect()
    if sys.platform == "linux":  # glibc keeps freed memory until it is trimmed
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
        if trim is not None:
            trim(0)
    torch = sys.modules.get("torch")
    if torch is None:
        return
    with contextlib.suppress(RuntimeError):  # a failed device; the next generation reports it
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        elif torch.backends.mps.is_available():
            torch.mps.empty_cache()


def _clean(wave: Any) -> Samples:
    """Clip samples to ±1; non-finite samples are kept and rejected later."""
    samples = np.asarray(wave, dtype=np.float32)
    return np.clip(samples, -1.0, 1.0) if np.isfinite(samples).all() else samples
