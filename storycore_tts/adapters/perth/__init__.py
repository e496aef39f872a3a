"""The watermark of resemble-perth: a neural network hides it in speech, another one finds it.

Needs the extra ``storycore-tts[watermark]``. torch and the weights are loaded for the first file
that gets a watermark.
"""

from __future__ import annotations

from storycore_tts.adapters.perth.networks import HINT, NAME, missing
from storycore_tts.adapters.perth.watermark import PerthWatermark

__all__ = ["HINT", "NAME", "PerthWatermark", "missing"]
