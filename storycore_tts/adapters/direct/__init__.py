"""Qwen3 voices in this process: the package ``qwen_tts`` behind all ports, and streaming.

Needs the extra ``storycore-tts[direct]``. Nothing of it is imported before the first call, and then
in the pool's thread.

From the outside in: ``adapter`` turns requests into ``jobs``; ``pool`` keeps the models and decides
in its thread what is done next (``turns`` lets one pool work at a time, ``clock`` is its clock);
``batching`` chooses what is spoken together; ``engine`` is the model itself, with the hook
(``watch``) that follows and stops it. ``checkpoints`` and ``devices`` know which model, and on
what; ``package`` imports ``qwen_tts``, ``loading`` loads with it, ``guard`` holds what was loaded
against its files, ``installed`` knows which versions work; ``lookups`` reads a checkpoint's card
once for all who ask at the same time; ``prompts`` keeps references prepared for cloning;
``streaming`` decodes what is not finished yet.
"""

from __future__ import annotations

from storycore_tts.adapters.direct.adapter import DirectAdapter
from storycore_tts.settings import QwenTTSConfig

__all__ = ["DirectAdapter", "create"]


def create(config: QwenTTSConfig) -> DirectAdapter:
    """Make the adapter; the factory behind the entry point ``direct``."""
    return DirectAdapter(config)
