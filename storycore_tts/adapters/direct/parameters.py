"""The parameters that the model takes, and how the package ``qwen_tts`` is sent them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storycore_tts.adapters.direct.speech_jobs import PreparedLine
from storycore_tts.domain.parameters import parameters_of
from storycore_tts.domain.sampling import Sampling, SamplingParameters

# Keyword arguments of the package. Each is sent with every call, because the package would take
# what is missing from the checkpoint.
SENT = frozenset(
    (
        *("top_p", "top_k", "temperature", "repetition_penalty"),
        *("subtalker_top_p", "subtalker_top_k", "subtalker_temperature"),
    )
)
# The seed is given to torch's generators, and each line has a budget within its max_new_tokens.
SAMPLING = SENT | {"seed", "max_new_tokens"}
TRAINING = frozenset(
    (
        *("learning_rate", "num_epochs", "batch_size", "gradient_accumulation_steps"),
        "validate_every",
    )
)

_FEWEST_TOKENS = 2  # a single one is no frame yet, and the package fails where there is none


def sampling_options(sampling: Sampling) -> dict[str, Any]:
    """Return how the package is to draw tokens."""
    sent = {
        one.name: one.kind(getattr(sampling, one.name))  # transformers refuses whole numbers
        for one in parameters_of(SamplingParameters)
        if one.name in SENT
    }
    return {"do_sample": True, "subtalker_dosample": True, **sent}


def generation_options(lines: Sequence[PreparedLine]) -> dict[str, Any]:
    """Return what the package is sent for lines of one ``Line.batch_key``, so of equal sampling."""
    return {
        "text": [line.text for line in lines],
        "language": [line.language for line in lines],
        "max_new_tokens": max(_FEWEST_TOKENS, *(line.budget for line in lines)),
        **sampling_options(lines[0].sampling),
    }
