"""The 12 Hz codec, which converts audio to codes and back; random but audible."""

from __future__ import annotations

from pathlib import Path

import torch
from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import (
    Qwen3TTSTokenizerV2Config,
)
from qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2 import Qwen3TTSTokenizerV2Model

from .configs import CODE_GROUPS, DECODER_CODES, FEATURE_EXTRACTOR_CONFIG, codec_config
from .writing import power_of_two_near, write_json, write_weights

LOUDNESS = 0.1
"""Root mean square of the decoded noise. Its peaks are then about 0.4, far from silence (0.05)
and clipping (1.0)."""


def write_codec(folder: Path, seed: int) -> None:
    """Write a codec checkpoint into `folder`. Seeds the CPU's global generator."""
    config = codec_config()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", FEATURE_EXTRACTOR_CONFIG)

    torch.default_generator.manual_seed(seed)  # the CPU only
    model = Qwen3TTSTokenizerV2Model(
        Qwen3TTSTokenizerV2Config(
            **{key: config[key] for key in config if key not in ("architectures", "model_type")}
        )
    ).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith(("embed_sum", "embedding_sum")):
                tensor.normal_()  # the default is zeros: all codes would sound the same
            elif tensor.dim() == 3:
                # Preserves the signal's amplitude through the convolutions; the default is 0.02.
                tensor.normal_(std=(2.0 / tensor[0].numel()) ** 0.5)
        _set_loudness(model)
    write_weights(folder / "model.safetensors", model)


def _set_loudness(model: Qwen3TTSTokenizerV2Model) -> None:
    """Scale the decoder's last convolution, on which the samples depend linearly."""
    last = model.decoder.decoder[-1].conv
    last.bias.zero_()
    last.weight.mul_(2.0**-16)  # so that nothing is clipped while measuring
    codes = torch.randint(DECODER_CODES, (1, CODE_GROUPS, 25))
    loudness = model.decoder(codes).std().item()
    last.weight.mul_(power_of_two_near(LOUDNESS / loudness))
