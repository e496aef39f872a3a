"""Draft voices: espeak-ng in this process, for machines without a GPU and for scratch tracks.

Needs the extra ``storycore-tts[draft]``. Nothing of it is imported before the first call.
"""

from __future__ import annotations

from storycore_tts.adapters.draft.adapter import DraftAdapter
from storycore_tts.settings import QwenTTSConfig

__all__ = ["DraftAdapter", "create"]


def create(config: QwenTTSConfig) -> DraftAdapter:
    """Make the adapter that ``backend: draft`` names."""
    return DraftAdapter(words_per_minute=config.draft.words_per_minute)
