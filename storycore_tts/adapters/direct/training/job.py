"""Runs one training, from the request to the trained voice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from storycore_tts.adapters.direct.checkpoints import at_home
from storycore_tts.adapters.direct.loading import load_model
from storycore_tts.adapters.direct.training import features, voice
from storycore_tts.adapters.direct.training.cancelling import Cancelled, check
from storycore_tts.adapters.direct.training.checkpoint import (
    OutputFolder,
    fingerprint,
    read_state,
)
from storycore_tts.adapters.direct.training.dataset import Dataset, check_dataset
from storycore_tts.adapters.direct.training.loop import Training
from storycore_tts.domain.languages import AUTO
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.speech import TrainedVoice
from storycore_tts.domain.text import token_budget
from storycore_tts.errors import (
    GenerationFailed,
    InvalidRequest,
    OutOfMemory,
    UnsupportedLanguage,
)
from storycore_tts.sound.samples import Samples

if TYPE_CHECKING:
    from torch import Tensor

BACKEND = "direct"
# Messages of out-of-memory errors for which torch has no exception type: on the CPU and in cuBLAS.
_NO_MEMORY = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")


def train(
    request: TrainingRequest,
    *,
    base_model: Path,
    tokenizer: Path | None,
    device: str,
    dtype: torch.dtype,
    on_progress: Callable[[Progress], None],
    cancelled: Cancelled,
    seed: int = 0,
) -> TrainedVoice:
    """Fine-tune a Base model to one speaker. Blocks until done.

    The same request with the same folder resumes after the last complete epoch, and returns at once
    if no epoch is left.

    Args:
        request: Dataset, voice and hyperparameters.
        base_model: Local folder of a Base model, 0.6B or 1.7B.
        tokenizer: Local folder of the 12 Hz tokenizer; None: the one in ``base_model``.
        device: "cpu", "cuda", "cuda:1", …
        dtype: Precision of the computation and of the checkpoints: ``torch.bfloat16`` on a GPU, as
            upstream; ``torch.float32`` on a CPU. During training, weights, gradients and optimizer
            are float32: 16 bytes per weight.
        on_progress: Called after each step, in this thread. An exception from it ends the training.
        cancelled: Called between steps, in this thread.
        seed: 0..2**63; determines the order of the recordings and the samples.

    Raises:
        InvalidDataset: The dataset has at least one error; the message lists all of them.
        InvalidRequest: The base model is not a Base model, the speaker's name is taken, or the
            output folder belongs to another training.
        GenerationFailed: The loss is not finite, or files cannot be read or written.
        BackendUnavailable: The base model cannot be loaded, for example because it is damaged.
        OutOfMemory: The device has too little memory.
        TrainingCancelled: ``cancelled`` returned True.
    """
    speaker = voice.stored_name(request.speaker_name)
    _check_base_model(base_model, request.language)
    # Fail now rather than after the first epoch.
    token_budget(request.test_text, limit=Sampling().max_new_tokens)
    on_progress(Progress(Stage.LOADING, message="reading the dataset"))
    dataset = check_dataset(at_home(request.dataset))
    check(cancelled)
    target = at_home(request.output_dir).resolve()
    if target.is_relative_to(base_model.resolve()):
        raise InvalidRequest(
            f"The output folder {target} is inside the base model's folder.",
            hint="Choose another output_dir.",
        )
    output = OutputFolder(target, _terms(request, dataset, base_model, tokenizer, dtype, seed))
    output.open()
    done = output.last_checkpoint()
    if done is not None and done[1].epochs == request.num_epochs:
        on_progress(Progress(Stage.TRAINING, 1.0, "already trained", epoch=request.num_epochs))
    else:
        job = _Job(request, dataset, output, speaker, device, seed, on_progress, cancelled)
        # The worker thread may be in inference mode, in which no gradients are computed.
        with _memory_named(request), torch.inference_mode(False), torch.enable_grad():
            job.run(base_model, tokenizer or base_model / "speech_tokenizer", dtype)
        done = output.last_checkpoint()
        assert done is not None  # the last epoch writes a checkpoint
    output.drop_states()
    checkpoint, record = done
    return TrainedVoice(
        checkpoint_path=str(checkpoint),
        speaker_name=request.speaker_name,
        epochs=record.epochs,
        loss_history=record.losses,
        backend=BACKEND,
        warnings=dataset.warnings,
    )


@dataclass(frozen=True)
class _Job:
    """A validated training; ``speaker`` is the name as stored in checkpoints."""

    request: TrainingRequest
    dataset: Dataset
    output: OutputFolder
    speaker: str
    device: str
    seed: int
    on_progress: Callable[[Progress], None]
    cancelled: Cancelled

    def run(self, base_model: Path, codec: Path, dtype: torch.dtype) -> None:
        """Encode the recordings, load the model and run the remaining epochs."""
        codes = self._encoded(codec)
        self.on_progress(Progress(Stage.LOADING, message=f"loading {base_model.name}"))
        with _memory_named(self.request):
            tts = load_model(base_model, device=self.device, dtype="float32", attention="sdpa")
        check(self.cancelled)
        embedding = voice.embed(tts.model, features.recording(self.dataset.reference))
        voice.give(tts.model, self.speaker, embedding)
        training = Training(
            tts.model,
            self._examples(tts, codes),
            embedding,
            self.request,
            device=self.device,
            dtype=dtype,
            seed=self.seed,
        )
        losses = self._restored(tts.model, training)
        for epoch in training.epochs(len(losses), self.on_progress, self.cancelled):
            losses = (*losses, epoch.loss)
            number, last = epoch.number + 1, epoch.number + 1 == self.request.num_epochs
            self.on_progress(replace(epoch.progress, message=f"saving epoch {number}"))
            if last or number % self.request.validate_every == 0:
                voice.settle(tts.model, embedding)
                self._write_checkpoint(tts, losses, base_model, dtype)
            if not last:
                optimizer = training.optimizer.state_dict()
                with _disk_named(self.request):
                    self.output.write_state(losses, tts.model.state_dict(), optimizer)

    def _examples(self, tts: Any, codes: list[Tensor]) -> list[features.Example]:
        return [
            features.Example(features.text_ids(tts.processor, item.text), frames)
            for item, frames in zip(self.dataset.recordings, codes, strict=True)
        ]

    def _write_checkpoint(
        self, tts: Any, losses: tuple[float, ...], base_model: Path, dtype: torch.dtype
    ) -> None:
        sample = self._sample(tts)
        weights = {name: tensor.to(dtype) for name, tensor in tts.model.state_dict().items()}
        with _disk_named(self.request):
            self.output.write_checkpoint(
                losses,
                base_model=base_model,
                weights=weights,
                speaker=self.speaker,
                sample=sample,
            )

    def _encoded(self, codec: Path) -> list[Tensor]:
        count = len(self.dataset.recordings)
        message = f"encoding {count} recording{'s' if count > 1 else ''}"
        return features.encode(
            self.dataset,
            codec,
            device=self.device,
            report=lambda share: self.on_progress(Progress(Stage.LOADING, share, message)),
            cancelled=self.cancelled,
        )

    def _restored(self, model: Any, training: Training) -> tuple[float, ...]:
        """Restore model and optimizer to the last complete epoch; return the losses so far."""
        state = self.output.last_state()
        if state is None:
            return ()
        folder, record = state
        with _disk_named(self.request):
            weights, optimizer = read_state(folder, device=self.device)
        model.load_state_dict(weights)
        training.optimizer.load_state_dict(optimizer)
        return record.losses

    def _sample(self, tts: Any) -> Samples:
        return voice.speak(
            tts,
            self.request.test_text,
            speaker=self.speaker,
            language=self.request.language,
            seed=self.seed,
            cancelled=self.cancelled,
        )


def _check_base_model(folder: Path, language: str) -> None:
    """Reject models that cannot be fine-tuned, before anything is loaded.

    Raises:
        InvalidRequest: The folder contains no Qwen3-TTS checkpoint, or not a Base model.
        UnsupportedLanguage: The model does not support the language.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = config["tts_model_type"]
        languages = [*config["talker_config"]["codec_language_id"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{folder} contains no Qwen3-TTS model: {error}.",
            hint="Give the folder of a Qwen3-TTS-12Hz Base model.",
            backend=BACKEND,
        ) from error
    if kind != "base":
        raise InvalidRequest(
            f"{folder} is a {kind} model; a voice is trained from a Base model.",
            hint="Use Qwen3-TTS-12Hz-1.7B-Base or Qwen3-TTS-12Hz-0.6B-Base.",
            backend=BACKEND,
        )
    if language != AUTO and language.lower() not in languages:
        raise UnsupportedLanguage(
            f"{folder} does not speak {language}.",
            hint=f"Use one of: {', '.join((AUTO, *map(str.title, languages)))}.",
            backend=BACKEND,
        )


def _terms(
    request: TrainingRequest,
    dataset: Dataset,
    base_model: Path,
    tokenizer: Path | None,
    dtype: torch.dtype,
    seed: int,
) -> dict[str, object]:
    """Everything that affects the result. Folders are identified by content, as they may move."""
    terms = asdict(request)
    del terms["output_dir"], terms["model_choice"]
    return {
        **terms,
        "speaker_name": voice.stored_name(request.speaker_name),
        "dataset": dataset.digest,
        "base_model": fingerprint(base_model),
        "tokenizer": fingerprint(tokenizer) if tokenizer else None,
        "dtype": str(dtype),
        "seed": seed,
    }


@contextmanager
def _memory_named(request: TrainingRequest) -> Iterator[None]:
    """Convert torch's out-of-memory errors into ``OutOfMemory``."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(told in str(error) for told in _NO_MEMORY):
            raise
        smaller = [f"batch_size (now {request.batch_size})"] if request.batch_size > 1 else []
        raise OutOfMemory(
            f"There is too little memory to train with: {str(error).splitlines()[0]}",
            hint=f"Lower {' or '.join([*smaller, 'the length of the longest recording'])}, stop "
            "what else uses the device, or train the 0.6B model.",
            backend=BACKEND,
        ) from error


@contextmanager
def _disk_named(request: TrainingRequest) -> Iterator[None]:
    """Convert the disk's errors into ``GenerationFailed``."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise GenerationFailed(
            f"The training cannot read or write its files: {error}",
            hint=f"Is the disk of {request.output_dir} full? The same request resumes after the "
            "last complete epoch.",
            backend=BACKEND,
        ) from error
