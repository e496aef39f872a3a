"""Training data: recordings as codes of the 12 Hz codec, transcripts as tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soxr
import torch

from storycore_tts.adapters.direct.loading import load_codec
from storycore_tts.adapters.direct.training.cancelling import Cancelled, check
from storycore_tts.adapters.direct.training.dataset import Dataset, load
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from torch import Tensor

ROLE = 3  # tokens of "<|im_start|>assistant\n", the start of every prompt
_TURN = 5  # tokens of "<|im_end|>\n<|im_start|>assistant\n", which the model never sees


@dataclass(frozen=True, eq=False)
class Example:
    """A recording, as input for the model.

    Args:
        text_ids: int64, shape (ROLE + words,).
        codes: int64, shape (frames, codebooks); 12.5 frames per second.
    """

    text_ids: Tensor
    codes: Tensor


def recording(audio: Path) -> Samples:
    """Decode a recording to mono at 24 kHz, float32 of shape (n,).

    Args:
        audio: The file.

    Raises:
        InvalidDataset: The file was deleted or changed after the dataset was checked.
    """
    samples, sample_rate = load(audio)
    if sample_rate == SAMPLE_RATE:
        return samples
    return np.asarray(soxr.resample(samples, sample_rate, SAMPLE_RATE), dtype=np.float32)


def encode(
    dataset: Dataset,
    codec: Path,
    *,
    device: str,
    report: Callable[[float], None],
    cancelled: Cancelled,
) -> list[Tensor]:
    """Encode all recordings.

    Args:
        dataset: The dataset.
        codec: Folder of the 12 Hz tokenizer.
        device: torch's name of the device.
        report: Called with the completed share, 0..1.
        cancelled: Called before each recording; returns whether to stop.

    Returns:
        The codes of each recording, int64 of shape (frames, codebooks), on the CPU.

    Raises:
        TrainingCancelled: ``cancelled`` returned True.
        InvalidDataset: A file was deleted or changed after the dataset was checked.
        BackendUnavailable: The tokenizer cannot be loaded.
    """
    tokenizer = load_codec(codec, device=device)
    codes = []
    for number, item in enumerate(dataset.recordings):
        check(cancelled)
        report(number / len(dataset.recordings))
        # One by one, to avoid padding.
        encoded = tokenizer.encode([recording(item.audio)], sr=SAMPLE_RATE).audio_codes[0]
        # Cloned, since inference tensors cannot be used for training.
        codes.append(encoded.to("cpu", torch.int64).clone())
    return codes


def text_ids(processor: Any, text: str) -> Tensor:
    """Tokenize a transcript as the package does for generation, without the following turn.

    Args:
        processor: Processor of the model.
        text: The transcript.

    Returns:
        int64, shape (ROLE + words,).
    """
    prompt = f"<|im_start|>assistant\n{text}<|im_end|>\n<|im_start|>assistant\n"
    ids: Tensor = processor(text=prompt, return_tensors="pt")["input_ids"]
    return ids.reshape(-1)[:-_TURN]
