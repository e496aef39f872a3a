"""Configurations: the real checkpoints' ids and rates, with small dimensions.

Ids are the published ones. Many keys look optional but are required: the classes' defaults are
those of far larger models, and some keys are read although they are missing from the signature
(``text_vocab_size``, ``head_dim``, ``rope_scaling``; in the codec's decoder ``codebook_dim``,
``head_dim``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .text import TextVocabulary

SAMPLE_RATE = 24_000
"""Hz."""
CODE_GROUPS = 16
"""Number of codebooks, which is the number of codes per frame."""
REFERENCE_CODES = 64
"""Number of codes of the codec's encoder: codes of a reference are below it. The talker is rigged
never to generate these in codebook 0, which distinguishes generated frames from a reference's."""
DECODER_CODES = 2048
"""Number of codes of the codec's decoder: all codes that generation allows in codebook 0."""
TALKER_VOCABULARY = 3072
"""Codes, control tokens, languages, speakers, and row 3000, which fine-tuning writes."""
END_ID = 2150
"""The talker's end token, ``codec_eos_token_id``."""
MEL_BANDS = 128

SPEAKER_IDS = {
    "serena": 3066,
    "vivian": 3065,
    "uncle_fu": 3010,
    "ryan": 3061,
    "aiden": 2861,
    "ono_anna": 2873,
    "sohee": 2864,
    "eric": 2875,
    "dylan": 2878,
}
DIALECTS = {"eric": "sichuan_dialect", "dylan": "beijing_dialect"}
"""Used instead of Chinese; each must be a key of `LANGUAGE_IDS`."""
LANGUAGE_IDS = {
    "chinese": 2055,
    "english": 2050,
    "german": 2053,
    "italian": 2070,
    "portuguese": 2071,
    "spanish": 2054,
    "japanese": 2058,
    "korean": 2064,
    "french": 2061,
    "russian": 2069,
    "sichuan_dialect": 2062,
    "beijing_dialect": 2074,
}
CONTROL_IDS = {
    "codec_pad_id": 2148,
    "codec_bos_id": 2149,
    "codec_eos_token_id": END_ID,
    "codec_think_id": 2154,
    "codec_nothink_id": 2155,
    "codec_think_bos_id": 2156,
    "codec_think_eos_id": 2157,
}

GENERATION_CONFIG = {
    "do_sample": True,
    "repetition_penalty": 1.05,
    "temperature": 0.9,
    "top_p": 1.0,
    "top_k": 50,
    "subtalker_dosample": True,
    "subtalker_temperature": 0.9,
    "subtalker_top_p": 1.0,
    "subtalker_top_k": 50,
    "max_new_tokens": 8192,
}
"""The published checkpoints' sampling parameters; loading fails without this file."""
FEATURE_EXTRACTOR_CONFIG = {
    "feature_extractor_type": "EncodecFeatureExtractor",
    "chunk_length_s": None,
    "overlap": None,
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": SAMPLE_RATE,
}
_CODEC_ENCODER = {
    "model_type": "mimi",
    "sampling_rate": SAMPLE_RATE,
    "frame_rate": 12.5,
    "_frame_rate": 12.5,  # MimiConfig's own key
    "audio_channels": 1,
    "num_filters": 4,
    "num_residual_layers": 1,
    # 8·6·5·4 = 960 samples, followed by a stride of 2: 1920 per frame.
    "upsampling_ratios": [8, 6, 5, 4],
    "upsample_groups": 32,
    "codebook_size": REFERENCE_CODES,
    "vector_quantization_hidden_dimension": 8,
    "sliding_window": 250,
    "use_cache": False,
    "use_causal_conv": True,
}
_CODEC_DECODER = {
    "codebook_size": DECODER_CODES,
    "latent_dim": 32,
    "sliding_window": 72,
    # 8·5·4·3 · 2·2 = 1920 samples per frame.
    "upsample_rates": [8, 5, 4, 3],
    "upsampling_ratios": [2, 2],
    "decoder_dim": 64,  # halved at each of the four rates
}


@dataclass(frozen=True)
class Shape:
    """The talker's dimensions.

    Args:
        hidden_size: Width, a multiple of 32.
        layers: Number of decoder layers, at least 2.
    """

    hidden_size: int
    layers: int

    def __post_init__(self) -> None:
        if self.hidden_size < 32 or self.hidden_size % 32:
            raise ValueError(f"hidden_size={self.hidden_size}: a multiple of 32, at least 32")
        if self.layers < 2:
            raise ValueError(f"layers={self.layers}: at least 2, which are what counts the text")

    @property
    def head_dim(self) -> int:
        """Width of an attention head: 16, or 64 if the talker's width is at least 256."""
        return 16 if self.hidden_size < 256 else 64

    @property
    def heads(self) -> int:
        """Number of attention heads, at least 2."""
        return self.hidden_size // self.head_dim

    def transformer(self, layers: int) -> dict[str, Any]:
        """Return the keys shared by the talker's and the code predictor's configurations."""
        return {
            "hidden_size": self.hidden_size,
            "intermediate_size": 2 * self.hidden_size,
            "num_hidden_layers": layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "num_code_groups": CODE_GROUPS,
            "rope_theta": 1_000_000,
        }


def model_config(kind: str, size: str, shape: Shape, text: TextVocabulary) -> dict[str, Any]:
    """Return the ``config.json`` of a checkpoint.

    Args:
        kind: base, custom_voice or voice_design.
        size: 0.6B or 1.7B.
        shape: The talker's dimensions.
        text: The text tokenizer's vocabulary.
    """
    config: dict[str, Any] = {
        "architectures": ["Qwen3TTSForConditionalGeneration"],
        "model_type": "qwen3_tts",
        "tokenizer_type": "qwen3_tts_tokenizer_12hz",
        "tts_model_size": {"0.6B": "0b6", "1.7B": "1b7"}[size],
        "tts_model_type": kind,
        "im_start_token_id": text.specials["<|im_start|>"],
        "im_end_token_id": text.specials["<|im_end|>"],
        "tts_pad_token_id": text.specials["<tts_pad>"],
        "tts_bos_token_id": text.specials["<tts_text_bos>"],
        "tts_eos_token_id": text.specials["<tts_text_eod>"],
        "talker_config": _talker(kind, size, shape, text),
    }
    if kind == "base":
        config["speaker_encoder_config"] = {
            "mel_dim": MEL_BANDS,
            "enc_dim": shape.hidden_size,
            "enc_channels": [16, 16, 16, 16, 48],  # the three before it feed the last
            "enc_kernel_sizes": [5, 3, 3, 3, 1],
            "enc_dilations": [1, 2, 3, 4, 1],
            "enc_attention_channels": 8,
            "enc_res2net_scale": 4,
            "enc_se_channels": 8,
            "sample_rate": SAMPLE_RATE,
        }
    return config


def _talker(kind: str, size: str, shape: Shape, text: TextVocabulary) -> dict[str, Any]:
    speakers = SPEAKER_IDS if kind == "custom_voice" else {}
    # The three rope axes split half of head_dim, like 24 + 20 + 20 of 64 in the real model. For
    # speech, all three count the same positions.
    half = shape.head_dim // 2
    return {
        "model_type": "qwen3_tts_talker",
        **shape.transformer(shape.layers),
        "vocab_size": TALKER_VOCABULARY,
        "text_vocab_size": text.size,
        "text_hidden_size": shape.hidden_size * (2 if size == "0.6B" else 1),
        "max_position_embeddings": 32_768,
        "rope_scaling": {
            "interleaved": True,
            "mrope_section": [half // 2, half // 4, half // 4],
            "rope_type": "default",
            "type": "default",
        },
        **CONTROL_IDS,
        "codec_language_id": LANGUAGE_IDS,
        "spk_id": speakers,
        "spk_is_dialect": {name: DIALECTS.get(name, False) for name in speakers},
        "code_predictor_config": {
            "model_type": "qwen3_tts_talker_code_predictor",
            **shape.transformer(max(1, shape.layers * 5 // 28)),  # 5 to 28 in the real model
            "vocab_size": REFERENCE_CODES,
            "max_position_embeddings": 65_536,
        },
    }


def codec_config() -> dict[str, Any]:
    """Return the ``config.json`` of the codec: a Mimi encoder and Qwen's own decoder."""
    transformer = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "codebook_dim": 8,
        "num_quantizers": CODE_GROUPS,
        "num_semantic_quantizers": 1,
        "max_position_embeddings": 8000,
    }
    return {
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "model_type": "qwen3_tts_tokenizer_12hz",
        "encoder_valid_num_quantizers": CODE_GROUPS,
        "input_sample_rate": SAMPLE_RATE,
        "output_sample_rate": SAMPLE_RATE,
        "decode_upsample_rate": 1920,
        "encode_downsample_rate": 1920,
        "encoder_config": {**transformer, **_CODEC_ENCODER},
        "decoder_config": {**transformer, **_CODEC_DECODER},
    }
