"""What the model learns from: recordings as codes of the 12 Hz codec, transcripts as tokens."""

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

ROLE = 3  # tokens of "<|im_start|>assistant\n", with which every prompt begins
_TURN = 5  # tokens of "<|im_end|>\n<|im_start|>assistant\n", which the model is never shown


@dataclass(frozen=True, eq=False)
class Example:
    """One recording as the model meets it.

    Args:
        text_ids: int64, shape (ROLE + words,).
        codes: int64, shape (frames, codebooks); 12.5 frames a second.
    """

    text_ids: Tensor
    codes: Tensor


def recording(audio: Path) -> Samples:
    """Decode a recording to mono at 24 kHz, float32 of shape (n,).

    Raises:
        InvalidDataset: The file has gone, or has changed, since it was checked.
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
    """Encode every recording.

    Args:
        dataset: What to encode.
        codec: Folder of the 12 Hz tokenizer.
        device: Where to compute.
        report: Is told the share that is done, 0..1.
        cancelled: Asked before each recording.

    Returns:
        For each recording its codes, int64 of shape (frames, codebooks), on the CPU.

    Raises:
        TrainingCancelled: ``cancelled`` said so.
        InvalidDataset: A file has gone, or has changed, since it was checked.
        BackendUnavailable: The tokenizer cannot be loaded.
    """
    tokenizer = load_codec(codec, device=device)
    codes = []
    for number, item in enumerate(dataset.recordings):
        check(cancelled)
        report(number / len(dataset.recordings))
        # One by one, so that none is padded to the length of another.
        encoded = tokenizer.encode([recording(item.audio)], sr=SAMPLE_RATE).audio_codes[0]
        # A clone is no inference tensor, which nothing could be trained on.
        codes.append(encoded.to("cpu", torch.int64).clone())
    return codes


def text_ids(processor: Any, text: str) -> Tensor:
    """Tokenize a transcript as the package does when it speaks, without the turn that follows.

    Args:
        processor: The model's own.
        text: What is said.

    Returns:
        int64, shape (ROLE + words,).
    """
    prompt = f"<|im_start|>assistant\n{text}<|im_end|>\n<|im_start|>assistant\n"
    ids: Tensor = processor(text=prompt, return_tensors="pt")["input_ids"]
    return ids.reshape(-1)[:-_TURN]
