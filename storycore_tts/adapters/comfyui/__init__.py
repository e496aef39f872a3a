"""Qwen3 voices on a ComfyUI server: the node pack ComfyUI-Qwen-TTS behind all three ports.

Two floors: ``transport`` and ``events`` move bytes and know nothing of speech; ``workflows`` and
``adapter`` know speech. Between them a job is submitted (``submission``), followed (``jobs``) and
fetched (``downloads``, ``results``): lost by nobody, run once. ``rules`` holds what ComfyUI's
answers mean, without any I/O.
"""

from __future__ import annotations

from storycore_tts.adapters.comfyui.adapter import ComfyUIAdapter
from storycore_tts.settings import QwenTTSConfig

__all__ = ["ComfyUIAdapter", "create"]


def create(config: QwenTTSConfig) -> ComfyUIAdapter:
    """Make the adapter; the factory behind the entry point ``comfyui``."""
    return ComfyUIAdapter(config)
