"""The old package's client, for those who import it from here."""

from storycore_tts.entrypoints.legacy.client import (
    QwenTTSComfyUIClient,
    QwenTTSComfyUIClientSync,
    create_client,
)

__all__ = ["QwenTTSComfyUIClient", "QwenTTSComfyUIClientSync", "create_client"]
