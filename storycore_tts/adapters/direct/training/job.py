"""One training, from the request to the voice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from qwen_tts import Qwen3TTSModel
from safetensors import SafetensorError

from storycore_tts.adapters.direct.training import features, voice
from storycore_tts.adapters.direct.training.cancelling import Cancelled, check
from storycore_tts.adapters.direct.training.checkpoint import (
    OutputFolder,
    fingerprint,
    read_state,
)
from storycore_tts.adapters.direct.training.dataset import Dataset, check_dataset
from storycore_tts.adapters.direct.training.loop import Training
from storycore_tts.domain.errors import GenerationFailed, InvalidRequest, OutOfMemory
from storycore_tts.domain.progress import Progress, Stage
from storycore_tts.domain.requests import TrainingRequest
from storycore_tts.domain.speech import TrainedVoice

if TYPE_CHECKING:
    from torch import Tensor

BACKEND = "direct"
_CPU_OUT_OF_MEMORY = "DefaultCPUAllocator"  # torch has no exception type of its own for this


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
        dtype: Of weights, gradients and optimizer: ``torch.bfloat16`` on a GPU, as upstream;
            ``torch.float32`` on a CPU.
        on_progress: Is told of each step, in this thread; what it raises ends the training.
        cancelled: Asked between steps, in this thread.
        seed: 0..2**63; decides the order of the recordings and the samples.

    Raises:
        InvalidDataset: At least one fault; the message lists all of them.
        InvalidRequest: No Base model, a name that is taken, an output folder of another training.
        GenerationFailed: The loss is no finite number any more, or the disk refuses to write.
        OutOfMemory: The device is too small.
        TrainingCancelled: ``cancelled`` said so.
    """
    speaker = voice.stored_name(request.speaker_name)
    on_progress(Progress(Stage.LOADING, message="reading the dataset"))
    dataset = check_dataset(Path(request.dataset))
    check(cancelled)
    _check_base_model(base_model)
    target = Path(request.output_dir).resolve()
    if target.is_relative_to(base_model.resolve()):
        raise InvalidRequest(
            f"The output folder {target} lies within the base model's.",
            hint="Choose another output_dir.",
        )
    output = OutputFolder(target, _terms(request, dataset, base_model, tokenizer, dtype, seed))
    output.open()
    # Whatever mode the worker's thread is in: inference mode would make every loss a constant.
    with _memory_named(request), torch.inference_mode(False), torch.enable_grad():
        done = output.last_checkpoint()
        if done is None or done[1].epochs < request.num_epochs:
            codec = tokenizer or base_model / "speech_tokenizer"
            codes = _encode(dataset, codec, device, on_progress, cancelled)
            on_progress(Progress(Stage.LOADING, message=f"loading {base_model.name}"))
            tts = Qwen3TTSModel.from_pretrained(
                str(base_model), device_map=device, dtype=dtype, attn_implementation="sdpa"
            )
            check(cancelled)
            _learn(
                tts,
                dataset,
                codes,
                request,
                output,
                speaker=speaker,
                base_model=base_model,
                device=device,
                on_progress=on_progress,
                cancelled=cancelled,
                seed=seed,
            )
            done = output.last_checkpoint()
        else:
            on_progress(Progress(Stage.TRAINING, 1.0, "was done already", epoch=request.num_epochs))
        assert done is not None  # the last epoch always leaves one
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


def _learn(
    tts: Any,
    dataset: Dataset,
    codes: list[Tensor],
    request: TrainingRequest,
    output: OutputFolder,
    *,
    speaker: str,
    base_model: Path,
    device: str,
    on_progress: Callable[[Progress], None],
    cancelled: Cancelled,
    seed: int,
) -> None:
    """Do the epochs that are left; each leaves a state, and some a checkpoint."""
    model = tts.model
    examples = [
        features.Example(features.text_ids(tts.processor, item.text), frames)
        for item, frames in zip(dataset.recordings, codes, strict=True)
    ]
    embedding = voice.embed(model, features.recording(dataset.reference))
    voice.give(model, speaker, embedding)
    training = Training(model, examples, embedding, request, device=device, seed=seed)
    losses: tuple[float, ...] = ()
    state = output.last_state()
    if state is not None:
        folder, record = state
        with _disk_named(request):
            weights, optimizer = read_state(folder, device=device)
        model.load_state_dict(weights)
        training.optimizer.load_state_dict(optimizer)
        losses = record.losses
    for epoch in training.epochs(len(losses), on_progress, cancelled):
        losses = (*losses, epoch.loss)
        last = epoch.number + 1 == request.num_epochs
        on_progress(replace(epoch.progress, message=f"saving epoch {epoch.number + 1}"))
        if last or (epoch.number + 1) % request.validate_every == 0:
            voice.settle(model, embedding)
            sample = voice.speak(
                tts,
                request.test_text,
                speaker=speaker,
                language=request.language,
                seed=seed,
                cancelled=cancelled,
            )
            with _disk_named(request):
                output.write_checkpoint(
                    losses,
                    base_model=base_model,
                    weights=model.state_dict(),
                    speaker=speaker,
                    sample=sample,
                )
        if not last:
            with _disk_named(request):
                output.write_state(losses, model.state_dict(), training.optimizer.state_dict())


def _encode(
    dataset: Dataset,
    codec: Path,
    device: str,
    on_progress: Callable[[Progress], None],
    cancelled: Cancelled,
) -> list[Tensor]:
    count = len(dataset.recordings)
    message = f"encoding {count} recording{'s' if count > 1 else ''}"

    def report(fraction: float) -> None:
        on_progress(Progress(Stage.LOADING, fraction, message))

    return features.encode(dataset, codec, device=device, report=report, cancelled=cancelled)


def _check_base_model(folder: Path) -> None:
    """Refuse what cannot be fine-tuned, before anything is loaded.

    Raises:
        InvalidRequest: No Qwen3-TTS checkpoint, or not a Base model.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = config["tts_model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{folder} holds no Qwen3-TTS model: {error}.",
            hint="Give the folder of a Qwen3-TTS-12Hz Base model.",
        ) from error
    if kind != "base":
        raise InvalidRequest(
            f"{folder} is a {kind} model; a voice is trained from a Base model.",
            hint="Use Qwen3-TTS-12Hz-1.7B-Base or Qwen3-TTS-12Hz-0.6B-Base.",
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
    """Turn torch's two ways of running out of memory into ours."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and _CPU_OUT_OF_MEMORY not in str(error):
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
