"""The first client, which polls."""

from .workflows import BUILDERS


class QwenTTSComfyUIClient:
    """Awaits."""

    builders = BUILDERS


class QwenTTSComfyUIClientSync:
    """Does not."""
