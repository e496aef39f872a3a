"""Sampling parameters."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated, TypedDict

from storycore_tts.domain.parameters import MAX_SEED, Number, check_parameters

__all__ = ["MAX_SEED", "Sampling", "SamplingOptions", "SamplingParameters", "fresh_seed"]


def fresh_seed() -> int:
    """Return a random seed below 2**53, so that every JSON parser represents it exactly."""
    return secrets.randbelow(2**53)


@dataclass(frozen=True)
class SamplingParameters:
    """The sampling parameters, the single place where each is declared.

    A new one also needs a line in ``SamplingOptions`` below, and an adapter that uses it.
    """

    max_new_tokens: Annotated[
        int, Number(1, 8192, "Longest audio in tokens; 12.5 of them are one second.")
    ] = 2048
    top_p: Annotated[float, Number(0, 1, "Nucleus sampling: probability mass.")] = 0.8
    top_k: Annotated[int, Number(0, 1000, "Candidates for each token; 0 for all of them.")] = 20
    temperature: Annotated[
        float, Number(0.01, 5, "The higher, the more two readings of a line differ.")
    ] = 1.0
    repetition_penalty: Annotated[
        float, Number(0.5, 5, "Makes repeated tokens less likely; 1 disables it.")
    ] = 1.05
    seed: Annotated[
        int | None,
        Number(0, MAX_SEED, "Without one, each line gets a fresh seed, which the result records."),
    ] = None
    subtalker_top_p: Annotated[
        float, Number(0, 1, "The same as top_p, for the codebooks after the first.")
    ] = 1.0
    subtalker_top_k: Annotated[
        int, Number(0, 1000, "The same as top_k, for the codebooks after the first.")
    ] = 50
    subtalker_temperature: Annotated[
        float, Number(0.01, 5, "The same as temperature, for the codebooks after the first.")
    ] = 0.9


class SamplingOptions(TypedDict, total=False):
    """The parameters of ``Sampling`` as keyword arguments; None or omitted: as configured."""

    max_new_tokens: int | None
    top_p: float | None
    top_k: int | None
    temperature: float | None
    repetition_penalty: float | None
    seed: int | None
    subtalker_top_p: float | None
    subtalker_top_k: int | None
    subtalker_temperature: float | None


@dataclass(frozen=True)
class Sampling(SamplingParameters):
    """Sampling parameters of a request. An adapter sends every one that its backend supports.

    The token budget of a request is scaled to its text, up to ``max_new_tokens``.

    Raises:
        InvalidRequest: A value is out of range.
    """

    def __post_init__(self) -> None:
        check_parameters(self, SamplingParameters)
