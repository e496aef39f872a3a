"""The speaker's place in the model, and a sample of how it speaks so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from storycore_tts.adapters.direct.training.cancelling import Cancelled, check
from storycore_tts.domain.errors import InvalidRequest
from storycore_tts.domain.sampling import Sampling
from storycore_tts.domain.text import token_budget
from storycore_tts.domain.voices import described
from storycore_tts.sound.samples import SAMPLE_RATE, Samples

if TYPE_CHECKING:
    from torch import Tensor

SLOT = 3000  # row of the codec embedding that upstream's checkpoints give the voice


def stored_name(name: str) -> str:
    """Return the name as a checkpoint stores it: in the case in which the package looks it up.

    Raises:
        InvalidRequest: It is one of the nine built-in voices'. A backend that misses the checkpoint
            and takes the stock model, as the ComfyUI node does, would speak in that voice, and
            nobody would know why.
    """
    if described(name).description:
        raise InvalidRequest(
            f"{name!r} is the name of a built-in voice.",
            hint="Give the new voice a name of its own.",
        )
    return name.lower()


def embed(model: Any, samples: Samples) -> Tensor:
    """Return the speaker's embedding, shape (hidden,), from a recording at 24 kHz.

    It is upstream's: no gradient goes through it, and it is the same at every step.
    """
    embedding: Tensor = model.extract_speaker_embedding(samples, sr=SAMPLE_RATE)
    return embedding.clone()  # out of inference mode, which nothing can be trained on


def give(model: Any, name: str, embedding: Tensor) -> None:
    """Turn a Base model into one with this voice, as its checkpoints will be.

    Args:
        model: A Base model, alone in its process's hands: it is changed.
        name: As ``stored_name`` returns it.
        embedding: Shape (hidden,).
    """
    model.speaker_encoder = None  # its work is done, and a checkpoint has none
    model.tts_model_type = "custom_voice"
    for known, value in (("spk_id", SLOT), ("spk_is_dialect", False)):
        names = getattr(model.config.talker_config, known)
        names.clear()  # in place: the model has a view of it
        names[name] = value
    settle(model, embedding)


def settle(model: Any, embedding: Tensor) -> None:
    """Write the voice into its slot; AdamW's weight decay moves unused rows a little."""
    with torch.no_grad():
        model.talker.get_input_embeddings().weight[SLOT] = embedding


def speak(
    tts: Any, text: str, *, speaker: str, language: str, seed: int, cancelled: Cancelled
) -> Samples:
    """Say a line with the model as it is now.

    Audio that runs into the token budget is returned too: to hear that is what samples are for.

    Args:
        tts: The package's ``Qwen3TTSModel``.
        text: The line.
        speaker: As ``stored_name`` returns it.
        language: In the model's spelling.
        seed: Of torch's global generators.
        cancelled: Asked before each frame.

    Returns:
        float32, shape (n,), at 24 kHz.

    Raises:
        TrainingCancelled: ``cancelled`` said so.
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
            do_sample=True,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            temperature=sampling.temperature,
            repetition_penalty=sampling.repetition_penalty,
            subtalker_dosample=True,
            subtalker_top_k=sampling.top_k,
            subtalker_top_p=sampling.top_p,
            subtalker_temperature=sampling.temperature,
        )
    finally:
        hook.remove()
        tts.model.train(was_training)
    return np.asarray(sounds[0], dtype=np.float32)
