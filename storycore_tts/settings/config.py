"""The ``tts.qwen`` block."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from storycore_tts.settings.adapters import (
    AdapterSettings,
    adapter_names,
    declared_settings,
    read_block,
)
from storycore_tts.settings.addresses import checked_url
from storycore_tts.settings.backends import (
    BreakerConfig,
    ComfyUIConfig,
    DirectConfig,
    DraftConfig,
    RetryConfig,
)
from storycore_tts.settings.block import SettingsBlock, one_of, refused
from storycore_tts.settings.generation import QwenTTSGenerationConfig, QwenTTSTrainingConfig
from storycore_tts.settings.server import ServerConfig
from storycore_tts.settings.voices import VoiceMapping, spoken, voices_of_others

BlockT = TypeVar("BlockT", bound=AdapterSettings)


class QwenTTSModelConfig(SettingsBlock):
    """Which model speaks, and on what."""

    model_choice: Literal["0.6B", "1.7B"] = "1.7B"
    """Size of the model; the small one needs less memory and does not listen to ``instruct``."""
    device: str = "cuda"
    """Where it runs, with ComfyUI on the server: auto, cuda, cuda:1 (by number), mps, xpu, cpu."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of its weights; fp32 needs twice the memory."""
    attention: Literal["auto", "sdpa", "flash_attn", "sage_attn", "eager"] = "auto"
    """The kernel that computes attention; another one than auto must be installed."""
    unload_model_after_generate: bool = False
    """Give the GPU's memory back after every job; the next one loads the model again."""

    @field_validator("device")
    @classmethod
    def _device_is_named(cls, value: str) -> str:
        if re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d{1,3})?", value) is None:
            raise ValueError("one of auto, cuda, cuda:N, mps, xpu, cpu")
        return value


class QwenTTSConfig(QwenTTSModelConfig):
    """The ``tts.qwen`` block: ``QwenTTSConfig(comfyui_url="http://…", model_choice="1.7B")``.

    Besides the fields, it takes a block for each adapter of another package, under its name.

    Raises:
        ConfigurationError: An unknown key, a wrong type or an impossible value.
    """

    model_config = ConfigDict(extra="allow")  # for blocks of other adapters only: see __init__

    backend: str = "comfyui"
    """The adapter that speaks: comfyui, direct, draft, or another that is installed."""
    fallback: str | tuple[str, ...] | None = "direct"
    """What speaks while the backend is unavailable: one backend, or several in their order, in a
    list or separated by commas; none or null: nothing does. Draft has no fallback."""
    rollout: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of requests that go to ComfyUI while the rest stay on direct; None: all of them go
    to ``backend``."""
    routing_key: Literal["project", "speaker", "request"] = "project"
    """What a rollout keeps on one side; a request that names no project goes by its speaker."""
    comfyui_url: str = "http://127.0.0.1:8188"
    """The ComfyUI server; a path in it is kept, for a server behind a proxy."""
    default_speaker: Annotated[str, Field(min_length=1)] = "Ryan"
    """The voice of a line that names none: a built-in or a stored one."""
    default_language: str = "Auto"
    """Of a line that names none: a name, code or locale; Auto lets the model judge."""
    strip_markup: bool = False
    """Leave Markdown, tags such as ``<break/>`` and ``[laugh]``, and emoji out of what is spoken;
    otherwise a warning names them."""
    output_dir: str | None = None
    """Where clients write audio; None: a fresh temporary folder."""
    voices_dir: Annotated[str, Field(min_length=1)] | None = None
    """Where voices are stored by name; None: ``voices`` in this program's folder of user data."""
    voice_map: dict[str, VoiceMapping] = Field(default_factory=voices_of_others)
    """Voice ids of other speech services, in any case, and the voices that stand in for them."""
    cast: Annotated[str, Field(min_length=1)] | None = None
    """The voices of a project's characters inside StoryCore-Engine: a YAML file, which may be
    missing. None: ``cast.yaml`` in the working directory."""
    deprecate_legacy: bool = False
    """Warn those who still use the engine's old classes; each warning names what replaces it."""
    generation: QwenTTSGenerationConfig = QwenTTSGenerationConfig()
    training: QwenTTSTrainingConfig = QwenTTSTrainingConfig()
    comfyui: ComfyUIConfig = ComfyUIConfig()
    direct: DirectConfig = DirectConfig()
    draft: DraftConfig = DraftConfig()
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    server: ServerConfig = ServerConfig()

    def __init__(self, /, **values: Any) -> None:
        for name in sorted(values.keys() - type(self).model_fields.keys()):
            if name not in adapter_names():
                keys = [*type(self).model_fields, *adapter_names()]
                raise refused(
                    name, values[name], one_of(dict.fromkeys(keys), name), unknown_key=True
                )
            kind = declared_settings(name) or AdapterSettings
            values[name] = read_block(name, kind, values[name])
        super().__init__(**values)

    def block(self, adapter: str, kind: type[BlockT]) -> BlockT:
        """Return the settings of an adapter, which are the defaults where none are given.

        Args:
            adapter: Its name.
            kind: The class of its settings; ``AdapterSettings`` for any.

        Raises:
            ConfigurationError: None are given, and there are no defaults for some of them.
        """
        found = {**self.__dict__, **(self.model_extra or {})}.get(adapter)
        if not isinstance(found, kind):
            found = read_block(f"tts.qwen.{adapter}", declared_settings(adapter) or kind, {})
        return cast(BlockT, found)

    def read_by(self, adapter: str) -> str:
        """Return the settings that an adapter may read, as text: others do not concern it.

        Args:
            adapter: Its name.

        Raises:
            ConfigurationError: See ``block``.
        """
        own = self.block(adapter, AdapterSettings)
        shared = {*QwenTTSModelConfig.model_fields, *own.also_read}
        return self.model_dump_json(include=shared) + own.model_dump_json()

    @field_validator("backend")
    @classmethod
    def _backend_is_installed(cls, value: str) -> str:
        names = adapter_names()
        if value not in names:
            raise ValueError(one_of(names, value))
        return value

    @field_validator("fallback", mode="before")
    @classmethod
    def _fallbacks_are_installed(cls, value: Any) -> Any:
        names = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            return value
        if list(names) in (["none"], []):
            return None
        installed = adapter_names()
        for name in names:
            if name not in installed:
                raise ValueError(one_of([*installed, "none", "or a list of them"], name))
        return value if value in installed else tuple(names)

    @field_validator("rollout")
    @classmethod
    def _rollout_has_two_sides(cls, value: float | None, info: ValidationInfo) -> float | None:
        backend = info.data.get("backend", "comfyui")
        if value is not None and backend not in ("comfyui", "direct"):
            raise ValueError(f"null, while tts.qwen.backend is {backend}")
        return value

    @field_validator("comfyui_url")
    @classmethod
    def _url_is_http(cls, value: str) -> str:
        return checked_url(value)

    @field_validator("default_language")
    @classmethod
    def _language_is_spoken(cls, value: str) -> str:
        return spoken(value)

    @property
    def has_usual_fallback(self) -> bool:
        """Whether ``fallback`` is the default."""
        return bool(self.fallback == type(self).model_fields["fallback"].default)

    def fallbacks_of(self, backend: str) -> tuple[str, ...]:
        """Return what speaks while a backend is unavailable, in this order, each once."""
        if self.fallback is None or backend == "draft":
            return ()
        names = (self.fallback,) if isinstance(self.fallback, str) else self.fallback
        return tuple(name for name in dict.fromkeys(names) if name != backend)


def rollout_notice(config: QwenTTSConfig) -> str | None:
    """Say that a rollout decides in place of ``backend``; None where it does not."""
    if config.rollout is None or config.rollout == (config.backend == "comfyui"):
        return None
    return (
        f"tts.qwen.rollout overrides tts.qwen.backend ({config.backend}): {config.rollout:.0%} of "
        "the requests go to comfyui, the rest to direct. Set rollout: null to let backend decide."
    )
