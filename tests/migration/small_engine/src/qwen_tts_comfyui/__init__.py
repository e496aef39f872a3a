"""The first client."""

from .client import QwenTTSComfyUIClient, QwenTTSComfyUIClientSync
from .config import QwenTTSVoiceCloneConfig

__all__ = ["QwenTTSComfyUIClient", "QwenTTSComfyUIClientSync", "QwenTTSVoiceCloneConfig"]
