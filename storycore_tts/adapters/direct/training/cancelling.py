"""How a training is stopped from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Cancelled: TypeAlias = Callable[[], bool]
"""Asked between steps, from the worker's thread; True ends the training."""


class TrainingCancelled(Exception):
    """``cancelled`` said so. What the last whole epoch left is there to go on from."""


def check(cancelled: Cancelled) -> None:
    """Raise ``TrainingCancelled`` if the training is to end here."""
    if cancelled():
        raise TrainingCancelled
