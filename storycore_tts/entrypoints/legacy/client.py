"""The client under its old name, for ``from qwen_tts_comfyui import QwenTTSComfyUIClient``."""

from __future__ import annotations

from typing import Any

from storycore_tts.entrypoints.client import QwenTTSComfyUIClient as Client
from storycore_tts.entrypoints.legacy.deprecations import deprecated
from storycore_tts.settings import QwenTTSConfig


class QwenTTSComfyUIClient(Client):
    """``storycore_tts.QwenTTSComfyUIClient``, with what its predecessor had besides.

    Args:
        config: Settings; None for the defaults.
        comfyui_url: The server, instead of the one in ``config``.

    Raises:
        ConfigurationError: An address that is none.
    """

    def __init__(self, config: QwenTTSConfig | None = None, comfyui_url: str | None = None) -> None:
        super().__init__(config, comfyui_url=comfyui_url)
        deprecated(
            self.config,
            "qwen_tts_comfyui.QwenTTSComfyUIClient",
            "storycore_tts.QwenTTSComfyUIClient",
        )

    async def check_connection(self) -> bool:
        """Tell whether the server answers and can speak."""
        return (await self.get_model_status()).reachable

    async def close(self) -> None:
        """Close the connections of this event loop; ``aclose`` under its old name."""
        await self.aclose()


def create_client(
    comfyui_url: str = "http://127.0.0.1:8188",
    model_choice: str = "1.7B",
    device: str = "cuda",
    precision: str = "bf16",
) -> QwenTTSComfyUIClient:
    """Return a client.

    Args:
        comfyui_url: The server.
        model_choice: "0.6B" or "1.7B".
        device: "auto", "cuda", "mps" or "cpu".
        precision: "bf16" or "fp32".

    Raises:
        ConfigurationError: One of them is none of that.
    """
    values: dict[str, Any] = {
        "comfyui_url": comfyui_url,
        "model_choice": model_choice,
        "device": device,
        "precision": precision,
    }
    return QwenTTSComfyUIClient(QwenTTSConfig(**values))
