"""Cancellation of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Cancelled: TypeAlias = Callable[[], bool]
"""Called between steps in the worker thread; True ends the training."""


class TrainingCancelled(Exception):
    """The training was cancelled; it can be resumed after the last complete epoch."""


def check(cancelled: Cancelled) -> None:
    """Raise ``TrainingCancelled`` if ``cancelled`` returns True."""
    if cancelled():
        raise TrainingCancelled
