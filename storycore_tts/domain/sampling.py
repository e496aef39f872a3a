"""How the model draws its tokens."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from storycore_tts.errors import check_range as check_range

MAX_SEED = 2**64 - 1  # of the ComfyUI nodes and of torch.manual_seed


def fresh_seed() -> int:
    """Return a seed that nobody chose; below 2**53, so that any JSON reader keeps it."""
    return secrets.randbelow(2**53)


@dataclass(frozen=True)
class Sampling:
    """How the model draws its tokens. Every adapter is sent every value, so that none can differ.

    Args:
        max_new_tokens: The most talker tokens, 1..8192; 12.5 of them are one second. The budget
            of one request is scaled to its text and ends here at the latest.
        top_p: Nucleus, 0..1.
        top_k: Candidates, 0..1000; 0 for all.
        temperature: 0.01..5.
        repetition_penalty: 0.5..5; 1 for none.
        seed: 0..2**64−1, or None for a fresh one, which the result records.
    """

    max_new_tokens: int = 2048
    top_p: float = 0.8
    top_k: int = 20
    temperature: float = 1.0
    repetition_penalty: float = 1.05
    seed: int | None = None

    def __post_init__(self) -> None:
        check_range("max_new_tokens", self.max_new_tokens, 1, 8192, whole=True)
        check_range("top_p", self.top_p, 0, 1)
        check_range("top_k", self.top_k, 0, 1000, whole=True)
        check_range("temperature", self.temperature, 0.01, 5)
        check_range("repetition_penalty", self.repetition_penalty, 0.5, 5)
        if self.seed is not None:
            check_range("seed", self.seed, 0, MAX_SEED, whole=True)
