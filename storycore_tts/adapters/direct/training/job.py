"""One training, from the request to the voice."""

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
# What torch says where it has no exception type of its own: on a CPU, and within cuBLAS.
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
    """Fine-tune a Base model to one speaker; blocks until it is done.

    The same request with the same folder goes on after the last whole epoch, and returns at once
    when there is none left to do.

    Args:
        request: What to train on, and how.
        base_model: Local folder of a Base model, 0.6B or 1.7B.
        tokenizer: Local folder of the 12 Hz tokenizer; None for the one in ``base_model``.
        device: "cpu", "cuda", "cuda:1", …
        dtype: What is computed in, and of the checkpoints: ``torch.bfloat16`` on a GPU, as
            upstream; ``torch.float32`` on a CPU. Weights, gradients and optimizer are float32
            while it trains: 16 bytes for each weight.
        on_progress: Is told of each step, in this thread; what it raises ends the training.
        cancelled: Asked between steps, in this thread.
        seed: 0..2**63; decides the order of the recordings and the samples.

    Raises:
        InvalidDataset: At least one fault; the message lists all of them.
        InvalidRequest: No Base model, a name that is taken, an output folder of another training.
        GenerationFailed: The loss is no finite number any more, or the disk refuses to write.
        BackendUnavailable: The base model cannot be loaded, as where its weights are damaged.
        OutOfMemory: The device is too small.
        TrainingCancelled: ``cancelled`` said so.
    """
    speaker = voice.stored_name(request.speaker_name)
    _check_base_model(base_model, request.language)
    # Refused now, not epochs later.
    token_budget(request.test_text, limit=Sampling().max_new_tokens)
    on_progress(Progress(Stage.LOADING, message="reading the dataset"))
    dataset = check_dataset(at_home(request.dataset))
    check(cancelled)
    target = at_home(request.output_dir).resolve()
    if target.is_relative_to(base_model.resolve()):
        raise InvalidRequest(
            f"The output folder {target} lies within the base model's.",
            hint="Choose another output_dir.",
        )
    output = OutputFolder(target, _terms(request, dataset, base_model, tokenizer, dtype, seed))
    output.open()
    done = output.last_checkpoint()
    if done is not None and done[1].epochs == request.num_epochs:
        on_progress(Progress(Stage.TRAINING, 1.0, "was done already", epoch=request.num_epochs))
    else:
        job = _Job(request, dataset, output, speaker, device, seed, on_progress, cancelled)
        # Whatever mode the worker's thread is in: inference mode would make every loss a constant.
        with _memory_named(request), torch.inference_mode(False), torch.enable_grad():
            job.run(base_model, tokenizer or base_model / "speech_tokenizer", dtype)
        done = output.last_checkpoint()
        assert done is not None  # the last epoch leaves one
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
    """A training that has been checked; ``speaker`` is the name as checkpoints store it."""

    request: TrainingRequest
    dataset: Dataset
    output: OutputFolder
    speaker: str
    device: str
    seed: int
    on_progress: Callable[[Progress], None]
    cancelled: Cancelled

    def run(self, base_model: Path, codec: Path, dtype: torch.dtype) -> None:
        """Encode, load, and do the epochs that are left."""
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
        """Put a model and its optimizer where the last whole epoch left them; return its losses."""
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
    """Refuse what cannot be fine-tuned, before anything is loaded.

    Raises:
        InvalidRequest: No Qwen3-TTS checkpoint, or not a Base model.
        UnsupportedLanguage: The samples could not be spoken in that language.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = config["tts_model_type"]
        languages = [*config["talker_config"]["codec_language_id"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{folder} holds no Qwen3-TTS model: {error}.",
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
    """Everything that decides what is learned; folders by what is in them, for they may move."""
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
    """Turn torch's ways of running out of memory into ours."""
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
    """Turn the disk's refusals into ours."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise GenerationFailed(
            f"The training cannot read or write its files: {error}",
            hint=f"Is the disk of {request.output_dir} full? The same request goes on after the "
            "last whole epoch.",
            backend=BACKEND,
        ) from error
