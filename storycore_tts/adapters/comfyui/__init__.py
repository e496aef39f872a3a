"""Qwen3 voices on a ComfyUI server: the node pack ComfyUI-Qwen-TTS behind all three ports.

``protocol`` holds what ComfyUI expects and means, without any I/O: graphs, nodes, messages, errors,
and the state machine that follows a job. ``transport`` moves bytes and knows nothing of speech.
``session`` is one event loop's connection, ``runner`` drives a job's state machine over it,
``checks`` asks the server what it has, ``speaking`` is one line, and ``adapter`` the three ports.
"""

from __future__ import annotations

from storycore_tts.adapters.comfyui.adapter import ComfyUIAdapter
from storycore_tts.settings import QwenTTSConfig

__all__ = ["ComfyUIAdapter", "create"]


def create(config: QwenTTSConfig) -> ComfyUIAdapter:
    """Make the adapter; the factory behind the entry point ``comfyui``."""
    return ComfyUIAdapter(config)
