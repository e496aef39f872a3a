"""Training parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypedDict

from storycore_tts.domain.parameters import Number


@dataclass(frozen=True, kw_only=True)
class TrainingParameters:
    """The training parameters, the single place where each is declared.

    A new one also needs a line in ``TrainingOptions`` below, and an adapter that uses it.
    """

    learning_rate: Annotated[float, Number(1e-7, 1e-3, "Size of the optimizer's steps.")] = 2e-5
    num_epochs: Annotated[
        int, Number(1, 100, "Rounds over the recordings (epochs).", option="--epochs")
    ] = 10
    batch_size: Annotated[int, Number(1, 8, "Recordings per step.")] = 1
    gradient_accumulation_steps: Annotated[
        int,
        Number(1, 64, "Accumulation steps per optimizer update.", option="--gradient-accumulation"),
    ] = 4
    validate_every: Annotated[int, Number(1, 10, "Epochs between validation samples.")] = 2


class TrainingOptions(TypedDict, total=False):
    """Training parameters as keyword arguments; None or omitted: as configured."""

    learning_rate: float | None
    num_epochs: int | None
    batch_size: int | None
    gradient_accumulation_steps: int | None
    validate_every: int | None
