"""Adds a speaker to a model, and generates samples during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from storycore_tts.adapters.direct.parameters import sampling_options
from storycore_tts.adapters.direct.training.cancelling import Cancelled, check
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.text import token_budget
from storycore_tts.domain.voices import described
from storycore_tts.errors import InvalidRequest
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from torch import Tensor

SLOT = 3000  # row of the codec embedding used for the voice in upstream's checkpoints


def stored_name(name: str) -> str:
    """Return the name of a voice as stored in a checkpoint: in lower case, for the package.

    Raises:
        InvalidRequest: It is the name of a built-in voice. A backend that uses the stock model if
            the checkpoint is missing, as the ComfyUI node does, would silently use that voice.
    """
    if described(name).description:
        raise InvalidRequest(
            f"{name!r} is the name of a built-in voice.",
            hint="Choose another name for the new voice.",
        )
    return name.lower()


def embed(model: Any, samples: Samples) -> Tensor:
    """Return the embedding of a speaker, shape (hidden,), from a recording at 24 kHz.

    As in upstream's script, it is constant and has no gradient.
    """
    embedding: Tensor = model.extract_speaker_embedding(samples, sr=SAMPLE_RATE)
    return embedding.clone()  # inference tensors cannot be used for training


def give(model: Any, name: str, embedding: Tensor) -> None:
    """Convert a Base model in place to a model with this voice.

    Args:
        model: The Base model, which is modified.
        name: Name of the voice, from ``stored_name``.
        embedding: Embedding of the speaker, shape (hidden,).
    """
    model.speaker_encoder = None  # no longer needed, and not part of checkpoints
    model.tts_model_type = "custom_voice"
    for known, value in (("spk_id", SLOT), ("spk_is_dialect", False)):
        names = getattr(model.config.talker_config, known)
        names.clear()  # in place, since the model shares it
        names[name] = value
    settle(model, embedding)


def settle(model: Any, embedding: Tensor) -> None:
    """Write the voice to its slot; AdamW's weight decay slightly changes unused rows."""
    with torch.no_grad():
        model.talker.get_input_embeddings().weight[SLOT] = embedding


def speak(
    tts: Any, text: str, *, speaker: str, language: str, seed: int, cancelled: Cancelled
) -> Samples:
    """Generate a sample with the current model.

    Audio that reaches the token budget is returned, too, since samples should reveal that.

    Args:
        tts: A ``Qwen3TTSModel`` of the package.
        text: The text to speak.
        speaker: Name of the voice, from ``stored_name``.
        language: In the model's spelling.
        seed: Seed for torch's global generators.
        cancelled: Called before each frame; returns whether to stop.

    Returns:
        float32, shape (n,), at 24 kHz.

    Raises:
        TrainingCancelled: ``cancelled`` returned True.
    """
    sampling = Sampling()
    torch.manual_seed(seed)
    hook = tts.model.talker.register_forward_pre_hook(lambda *_: check(cancelled))
    was_training = tts.model.training
    tts.model.eval()
    try:
        sounds, _ = tts.generate_custom_voice(
            text=text,
            speaker=speaker,
            language=language,
            max_new_tokens=token_budget(text, limit=sampling.max_new_tokens),
            **sampling_options(sampling),
        )
    finally:
        hook.remove()
        tts.model.train(was_training)
    return np.asarray(sounds[0], dtype=np.float32)
