"""Adapter that runs the Qwen3-TTS models in this process, with the package ``qwen_tts``.

Requires the extra ``storycore-tts[direct]``, which is imported at the first call, in the thread of
the pool.

``adapter`` converts requests to jobs (``speech_jobs``); ``pool`` owns the models and schedules jobs
in its thread (``turns`` lets one pool work at a time, ``clock`` is its clock); ``batching`` selects
the lines of a batch; ``engine`` wraps the model, with a hook (``watch``) that follows and stops it.
``checkpoints`` and ``devices`` choose the model and its device; ``package`` imports ``qwen_tts``,
``loading`` loads models, ``guard`` verifies the loaded weights, ``installed`` knows the supported
versions; ``lookups`` shares concurrent lookups of checkpoints; ``prompts`` caches references that
were prepared for cloning; ``streaming`` decodes unfinished audio.
"""

from __future__ import annotations

from storycore_tts.adapters.direct.adapter import DirectAdapter
from storycore_tts.settings import QwenTTSConfig

__all__ = ["DirectAdapter", "create"]


def create(config: QwenTTSConfig) -> DirectAdapter:
    """Create the adapter; the factory for the entry point ``direct``."""
    return DirectAdapter(config)
