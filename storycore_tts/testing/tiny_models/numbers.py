"""Arithmetic of the builders."""

from __future__ import annotations

import math


def power_of_two_near(value: float) -> float:
    """The nearest power of two, by ratio.

    What was measured on a model is rounded by this before it scales weights: the last bits of a
    measurement differ between processors, and files should not.
    """
    return float(2.0 ** round(math.log2(value)))
