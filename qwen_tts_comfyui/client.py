"""Compatibility import of the client."""

from storycore_tts.entrypoints.legacy.client import (
    QwenTTSComfyUIClient,
    QwenTTSComfyUIClientSync,
    create_client,
)

__all__ = ["QwenTTSComfyUIClient", "QwenTTSComfyUIClientSync", "create_client"]
