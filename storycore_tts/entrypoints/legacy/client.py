"""The client under its old name, for ``from qwen_tts_comfyui import QwenTTSComfyUIClient``."""

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


def _waiting(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[QwenTTSComfyUIClientSync, P], T]:
    @wraps(method)
    def call(sync: QwenTTSComfyUIClientSync, /, *args: P.args, **how: P.kwargs) -> T:
        return sync._calls.run(method(sync._client, *args, **how))

    return call


class QwenTTSComfyUIClientSync:
    """The client for programs that do not await; calls block, and may come from any thread.

    Its methods take what those of ``storycore_tts.QwenTTSComfyUIClient`` take, and fail with the
    same exceptions. It may be used again after ``close``.

    Args:
        config: Settings; None for the defaults.
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
        """Close the connections; calls that other threads are waiting for are cut short."""
        self._calls.close(self._client.aclose)


@dataclass
class QwenTTSVoiceCloneConfig:
    """What a clone is made from: ``client.clone_voice(**config.arguments())``.

    Args:
        ref_audio: The recording, a file on this machine.
        ref_text: What is said in it, word for word; "" where that is not known.
        target_text: What to say.
        x_vector_only: Take the timbre only, even where there is a transcript.
        custom_model_path: Folder of another Base model on the server; "" for the stock one.
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
        """Return what ``clone_voice`` takes of them: those that say something."""
        return {name: value for name, value in self.to_dict().items() if value}


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
        device: "auto", "cuda", "cuda:1", "mps", "xpu" or "cpu".
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
