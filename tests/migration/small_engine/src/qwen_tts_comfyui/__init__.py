"""The first client."""

__all__ = ["QwenTTSComfyUIClient"]


class QwenTTSComfyUIClient:
    """Polls."""
