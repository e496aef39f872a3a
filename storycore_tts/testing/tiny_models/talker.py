"""A checkpoint's weights: talker, code predictor and, for Base, the speaker encoder."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from qwen_tts.core.models.configuration_qwen3_tts import Qwen3TTSConfig
from qwen_tts.core.models.modeling_qwen3_tts import Qwen3TTSForConditionalGeneration

from .configs import GENERATION_CONFIG, MEL_BANDS, SPEAKER_IDS
from .rigging import CARRIER, RESERVED, Dimension, Rig
from .text import TextVocabulary
from .writing import power_of_two_near, write_json, write_weights

# Norms of the random parts of a hidden state.
_EMBEDDING = 1.0
_SPEAKER = 1.5
"""Norm of a speaker's embedding; larger than the rest, so that voices differ clearly."""
_LAYER = 0.5
"""Norm added by an ordinary layer."""
_LOGITS = 3.0
"""Standard deviation of the logits: neither nearly uniform nor nearly certain."""
_LOG_MEL = (-6.0, 3.0)
"""Approximate mean and standard deviation of the log-mel values of speech."""


def write_model(
    folder: Path, config: dict[str, Any], text: TextVocabulary, *, ends: bool, seed: int
) -> None:
    """Write config and weights into `folder`. Seeds the CPU's global generator."""
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", GENERATION_CONFIG)

    torch.default_generator.manual_seed(seed)  # the CPU only
    model = Qwen3TTSForConditionalGeneration(Qwen3TTSConfig(**_arguments(config))).eval()
    with torch.no_grad():
        _randomise_talker(model.talker)
        _randomise_code_predictor(model.talker.code_predictor)
        rig = Rig(model.talker)
        rig.mark_inputs(text, list(SPEAKER_IDS.values()))
        rig.hear_speaker(_SPEAKER)
        rig.count()
        rig.choose_end(ends=ends)
        if model.speaker_encoder is not None:
            _randomise_speaker_encoder(model.speaker_encoder)
    write_weights(folder / "model.safetensors", model)


def _arguments(config: dict[str, Any]) -> dict[str, Any]:
    """Convert the config file's content to constructor arguments."""
    arguments: dict[str, Any] = copy.deepcopy(config)
    for key in ("architectures", "model_type"):
        del arguments[key]
    del arguments["talker_config"]["model_type"]
    del arguments["talker_config"]["code_predictor_config"]["model_type"]
    return arguments


def _randomise_talker(talker: Any) -> None:
    """Set random weights that neither read nor write the reserved dimensions."""
    width = talker.config.hidden_size
    free = width - RESERVED
    gain = width**0.5 / CARRIER  # the factor by which a norm scales a hidden state

    talker.model.text_embedding.weight.normal_()
    projection = talker.text_projection
    projection.linear_fc1.weight.normal_(std=projection.linear_fc1.in_features**-0.5)
    # SiLU of standard normal values has a root mean square of about 0.6.
    std = _EMBEDDING / (0.6 * projection.linear_fc2.in_features**0.5 * free**0.5)
    projection.linear_fc2.weight.normal_(std=std)
    talker.model.codec_embedding.weight.normal_(std=_EMBEDDING / free**0.5)
    for layer in talker.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for reader in (attention.q_proj, attention.k_proj, mlp.gate_proj, mlp.up_proj):
            reader.weight.normal_(std=1.0 / gain)
        attention.v_proj.weight.normal_(std=1.0 / (gain * attention.v_proj.out_features**0.5))
        attention.o_proj.weight.normal_(std=_LAYER / free**0.5)
        mlp.down_proj.weight.normal_(std=_LAYER / (mlp.down_proj.in_features * free) ** 0.5)
        for reader in (
            *(attention.q_proj, attention.k_proj, attention.v_proj),
            *(mlp.gate_proj, mlp.up_proj),
        ):
            reader.weight[:, :RESERVED] = 0.0
        for writer in (attention.o_proj, mlp.down_proj):
            writer.weight[:RESERVED] = 0.0
    # At the output, the random part of a hidden state is about twice the norm of a speaker.
    talker.codec_head.weight.normal_(std=_LOGITS / (gain * 2.0 * _SPEAKER))


def _randomise_code_predictor(predictor: Any) -> None:
    """Set random weights for codebooks 1 to 15; nothing is rigged, only norms are preserved."""
    for layer in predictor.model.layers:
        for parameter in layer.parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
    for head in predictor.lm_head:
        head.weight.normal_(std=_LOGITS * head.in_features**-0.5)
    # The talker's input is the sum of these and codebook 0.
    groups, free = len(predictor.model.codec_embedding), predictor.config.hidden_size - RESERVED
    for embedding in predictor.model.codec_embedding:
        embedding.weight.normal_(std=_EMBEDDING / (groups * free) ** 0.5)


def _randomise_speaker_encoder(encoder: Any) -> None:
    """Set weights whose embedding differs between recordings and is flagged as a speaker's."""
    for parameter in encoder.parameters():
        if parameter.dim() == 3:
            parameter.normal_(std=parameter[0].numel() ** -0.5)
        else:
            parameter.zero_()
    mean, deviation = _LOG_MEL
    first = encoder.blocks[0].conv
    first.weight.mul_(1.0 / deviation)
    # Subtract the mean; otherwise all embeddings would be dominated by the same constant.
    first.bias.copy_(-mean * first.weight.sum((1, 2)))
    last = encoder.fc
    last.weight[:RESERVED] = 0.0
    mels = mean + deviation * torch.randn(1, 100, MEL_BANDS)
    last.weight.mul_(power_of_two_near(_EMBEDDING / encoder(mels).norm().item()))
    last.bias[Dimension.SPEAKER] = 1.0
