"""Loads checkpoints with ``qwen_tts`` and verifies them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from storycore_tts.adapters.direct import failures, guard
from storycore_tts.adapters.direct.package import load_package, without_bars


def load_model(folder: Path, *, device: str, dtype: str, attention: str) -> Any:
    """Load a checkpoint; its codec always uses fp32.

    In bf16, the codec would add noise 24 dB below the voice.

    Args:
        folder: Folder of the checkpoint.
        device: torch's name of the device.
        dtype: Attribute of torch: "bfloat16" or "float32".
        attention: transformers' name of the attention.

    Returns:
        A ``Qwen3TTSModel`` of the package.

    Raises:
        BackendUnavailable: A package or weights are missing, or were not loaded correctly.
        OutOfMemory: The model does not fit into memory.
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
            tts.model.load_speech_tokenizer(None)  # frees memory before the second one is loaded
            tts.model.load_speech_tokenizer(load_codec(folder / "speech_tokenizer", device=device))
        else:
            guard.check(tts.model.speech_tokenizer.model, folder / "speech_tokenizer")
        talker = tts.model.talker
        # Set explicitly, since transformers would log the same assumption at each call.
        talker.generation_config.pad_token_id = talker.config.codec_eos_token_id
    return tts


def load_codec(folder: Path, *, device: str) -> Any:
    """Load the 12 Hz tokenizer in fp32; lower precision would change codes.

    Args:
        folder: Folder of the tokenizer.
        device: torch's name of the device.

    Returns:
        A ``Qwen3TTSTokenizer`` of the package.

    Raises:
        BackendUnavailable: A package or weights are missing, or were not loaded correctly.
        OutOfMemory: The tokenizer does not fit into memory.
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
