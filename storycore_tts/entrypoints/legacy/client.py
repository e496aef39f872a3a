"""The client for code that uses ``from qwen_tts_comfyui import QwenTTSComfyUIClient``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from storycore_tts.entrypoints.client import QwenTTSComfyUIClient as Client
from storycore_tts.entrypoints.legacy.blocking import Calls
from storycore_tts.entrypoints.legacy.deprecations import deprecated
from storycore_tts.settings import QwenTTSConfig

P = ParamSpec("P")
T = TypeVar("T")


class QwenTTSComfyUIClient(Client):
    """``storycore_tts.QwenTTSComfyUIClient`` with the additional methods of its predecessor.

    Args:
        config: Settings; None: the defaults.
        comfyui_url: URL of the server, instead of the one in ``config``.

    Raises:
        ConfigurationError: The URL is invalid.
    """

    def __init__(self, config: QwenTTSConfig | None = None, comfyui_url: str | None = None) -> None:
        super().__init__(config, comfyui_url=comfyui_url)
        deprecated(
            self.config,
            "qwen_tts_comfyui.QwenTTSComfyUIClient",
            "storycore_tts.QwenTTSComfyUIClient",
        )

    async def check_connection(self) -> bool:
        """Return whether the server is reachable and usable."""
        return (await self.get_model_status()).reachable

    async def close(self) -> None:
        """Close the connections of this event loop; old name of ``aclose``."""
        await self.aclose()


def _waiting(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[QwenTTSComfyUIClientSync, P], T]:
    @wraps(method)
    def call(sync: QwenTTSComfyUIClientSync, /, *args: P.args, **how: P.kwargs) -> T:
        return sync._calls.run(method(sync._client, *args, **how))

    return call


class QwenTTSComfyUIClientSync:
    """Synchronous client. Calls block, and can be made from any thread.

    Methods have the same parameters and exceptions as those of
    ``storycore_tts.QwenTTSComfyUIClient``. The client can be used again after ``close``.

    Args:
        config: Settings; None: the defaults.
    """

    def __init__(self, config: QwenTTSConfig | None = None) -> None:
        self._client = Client(config)
        self._calls = Calls()
        deprecated(
            self._client.config,
            "qwen_tts_comfyui.QwenTTSComfyUIClientSync",
            "storycore_tts.QwenTTSComfyUIClient",
        )

    generate_voice = _waiting(Client.generate_voice)
    generate_custom_voice = _waiting(Client.generate_custom_voice)
    clone_voice = _waiting(Client.clone_voice)
    train_model = _waiting(Client.train_model)

    def close(self) -> None:
        """Close the connections, and cancel calls in progress in other threads."""
        self._calls.close(self._client.aclose)


@dataclass
class QwenTTSVoiceCloneConfig:
    """Arguments of a clone: ``client.clone_voice(**config.arguments())``.

    Args:
        ref_audio: Path of a local recording.
        ref_text: Verbatim transcript of the recording; "" if unknown.
        target_text: Text to speak.
        x_vector_only: Clone the timbre only, even if there is a transcript.
        custom_model_path: Folder of another Base model on the server; "": the stock one.
    """

    ref_audio: str | None = None
    ref_text: str = ""
    target_text: str = ""
    x_vector_only: bool = False
    custom_model_path: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for ``clone_voice``, without empty ones."""
        return {name: value for name, value in self.to_dict().items() if value}


def create_client(
    comfyui_url: str = "http://127.0.0.1:8188",
    model_choice: str = "1.7B",
    device: str = "cuda",
    precision: str = "bf16",
) -> QwenTTSComfyUIClient:
    """Return a client.

    Args:
        comfyui_url: URL of the server.
        model_choice: "0.6B" or "1.7B".
        device: "auto", "cuda", "cuda:1", "mps", "xpu" or "cpu".
        precision: "bf16" or "fp32".

    Raises:
        ConfigurationError: An argument is invalid.
    """
    values: dict[str, Any] = {
        "comfyui_url": comfyui_url,
        "model_choice": model_choice,
        "device": device,
        "precision": precision,
    }
    return QwenTTSComfyUIClient(QwenTTSConfig(**values))
