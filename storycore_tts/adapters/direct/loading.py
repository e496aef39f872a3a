"""Checkpoints loaded with ``qwen_tts``, and held against their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from storycore_tts.adapters.direct import failures, guard
from storycore_tts.adapters.direct.package import load_package, without_bars


def load_model(folder: Path, *, device: str, dtype: str, attention: str) -> Any:
    """Load a checkpoint; its codec computes in fp32, whatever the model does.

    In bf16 the codec would add noise 24 dB below the voice.

    Args:
        folder: Where the checkpoint is.
        device: As torch names it.
        dtype: Attribute of torch: "bfloat16" or "float32".
        attention: As transformers names it.

    Returns:
        The package's ``Qwen3TTSModel``.

    Raises:
        BackendUnavailable: A package or the weights are missing, or were loaded wrongly.
        OutOfMemory: It does not fit.
    """
    with failures.loading(folder.name):
        package = load_package()
        import torch

        with without_bars():
            tts = package.Qwen3TTSModel.from_pretrained(
                str(folder),
                device_map=device,
                dtype=getattr(torch, dtype),
                attn_implementation=attention,
            )
        guard.check(tts.model, folder)
        if dtype != "float32":
            tts.model.load_speech_tokenizer(None)  # two would not be needed at a time
            tts.model.load_speech_tokenizer(load_codec(folder / "speech_tokenizer", device=device))
        else:
            guard.check(tts.model.speech_tokenizer.model, folder / "speech_tokenizer")
        talker = tts.model.talker
        # Said once here; transformers would assume the same, and log it at every call.
        talker.generation_config.pad_token_id = talker.config.codec_eos_token_id
    return tts


def load_codec(folder: Path, *, device: str) -> Any:
    """Load the 12 Hz tokenizer in fp32; rounding moves sounds to other codes.

    Args:
        folder: Where it is.
        device: As torch names it.

    Returns:
        The package's ``Qwen3TTSTokenizer``.

    Raises:
        BackendUnavailable: A package or the weights are missing, or were loaded wrongly.
        OutOfMemory: It does not fit.
    """
    with failures.loading(folder.name):
        package = load_package()
        import torch

        with without_bars():
            codec = package.Qwen3TTSTokenizer.from_pretrained(
                str(folder), device_map=device, dtype=torch.float32
            )
        guard.check(codec.model, folder)
    return codec
