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
from storycore_tts.settings.consent import ConsentConfig
from storycore_tts.settings.generation import QwenTTSGenerationConfig, QwenTTSTrainingConfig
from storycore_tts.settings.ledger import LedgerConfig
from storycore_tts.settings.marking import MarkingConfig
from storycore_tts.settings.server import ServerConfig
from storycore_tts.settings.voices import VoiceMapping, spoken, voices_of_others

BlockT = TypeVar("BlockT", bound=AdapterSettings)


class QwenTTSModelConfig(SettingsBlock):
    """The model, and the device that it runs on."""

    model_choice: Literal["0.6B", "1.7B"] = "1.7B"
    """Model size; the 0.6B model needs less memory and ignores ``instruct``."""
    device: str = "cuda"
    """Device to run on: auto, cuda, cuda:N, mps, xpu or cpu; with ComfyUI, one of the server's."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Precision of the weights; fp32 needs twice the memory."""
    attention: Literal["auto", "sdpa", "flash_attn", "sage_attn", "eager"] = "auto"
    """Attention implementation; any other than auto must be installed."""
    unload_model_after_generate: bool = False
    """Whether to free GPU memory after every job; the next job loads the model again."""

    @field_validator("device")
    @classmethod
    def _device_is_named(cls, value: str) -> str:
        if re.fullmatch(r"auto|cpu|mps|xpu|cuda(:\d{1,3})?", value) is None:
            raise ValueError("one of auto, cuda, cuda:N, mps, xpu, cpu")
        return value


class QwenTTSConfig(QwenTTSModelConfig):
    """The ``tts.qwen`` block: ``QwenTTSConfig(comfyui_url="http://…", model_choice="1.7B")``.

    Besides the fields below, it accepts a block for each third-party adapter, under its name.

    Raises:
        ConfigurationError: A key is unknown, or a value has the wrong type or is invalid.
    """

    model_config = ConfigDict(extra="allow")  # for blocks of other adapters only: see __init__

    backend: str = "comfyui"
    """Adapter that generates speech: comfyui, direct, draft, or another installed one."""
    fallback: str | tuple[str, ...] | None = "direct"
    """Backends to use, in order, while the main one is unavailable: a name, a list, or names
    separated by commas; none or null disables the fallback. Draft has no fallback."""
    rollout: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of requests sent to ComfyUI, 0..1; the rest go to direct. None: all requests go to
    ``backend``."""
    routing_key: Literal["project", "speaker", "request"] = "project"
    """Unit that a rollout keeps on one backend; without a project, requests go by speaker."""
    comfyui_url: str = "http://127.0.0.1:8188"
    """URL of the ComfyUI server; a path is kept, for a server behind a proxy."""
    default_speaker: Annotated[str, Field(min_length=1)] = "Ryan"
    """Default voice, built-in or stored, for lines that name none."""
    default_language: str = "Auto"
    """Default language, as a name, code or locale; Auto lets the model detect it."""
    default_project: str = ""
    """Project of lines that name none: consents may cover certain projects only, and a rollout
    keeps each project on one backend."""
    default_purpose: str = ""
    """What lines are for that name no purpose, such as film; for consents to certain purposes."""
    strip_markup: bool = False
    """Whether to remove Markdown, tags such as ``<break/>`` and ``[laugh]``, and emoji from the
    text; if not, a warning lists them."""
    output_dir: str | None = None
    """Folder in which clients write audio; None: a new temporary folder."""
    voices_dir: Annotated[str, Field(min_length=1)] | None = None
    """Folder of stored voices; None: ``voices`` in the user data folder of this program."""
    voice_map: dict[str, VoiceMapping] = Field(default_factory=voices_of_others)
    """Voice ids of other speech services, in any case, mapped to the voices that replace them."""
    cast: Annotated[str, Field(min_length=1)] | None = None
    """YAML file with the voices of a project's characters in StoryCore-Engine; it may be missing.
    None: ``cast.yaml`` in the working directory."""
    deprecate_legacy: bool = False
    """Whether to warn when the engine's old classes are used; warnings name the replacement."""
    generation: QwenTTSGenerationConfig = QwenTTSGenerationConfig()
    training: QwenTTSTrainingConfig = QwenTTSTrainingConfig()
    comfyui: ComfyUIConfig = ComfyUIConfig()
    direct: DirectConfig = DirectConfig()
    draft: DraftConfig = DraftConfig()
    retry: RetryConfig = RetryConfig()
    breaker: BreakerConfig = BreakerConfig()
    marking: MarkingConfig = MarkingConfig()
    ledger: LedgerConfig = LedgerConfig()
    consent: ConsentConfig = ConsentConfig()
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
        """Return the settings of an adapter, with defaults for those that are not set.

        Args:
            adapter: The adapter's name.
            kind: Its settings class; ``AdapterSettings`` for any.

        Raises:
            ConfigurationError: A setting without a default is not set.
        """
        found = {**self.__dict__, **(self.model_extra or {})}.get(adapter)
        if not isinstance(found, kind):
            found = read_block(f"tts.qwen.{adapter}", declared_settings(adapter) or kind, {})
        return cast(BlockT, found)

    def read_by(self, adapter: str) -> str:
        """Return the settings that an adapter may read, as JSON text.

        Args:
            adapter: The adapter's name.

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
        if value is None:
            return None
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ValueError("a name, a list of names, or none")
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
        """Return the backends to use while a backend is unavailable, in order, without duplicates.

        Args:
            backend: Name of the unavailable backend.
        """
        if self.fallback is None or backend == "draft":
            return ()
        names = (self.fallback,) if isinstance(self.fallback, str) else self.fallback
        return tuple(name for name in dict.fromkeys(names) if name != backend)


def rollout_notice(config: QwenTTSConfig) -> str | None:
    """Return a notice that ``rollout`` overrides ``backend``, or None if it does not.

    Args:
        config: The settings in force.
    """
    if config.rollout is None or config.rollout == (config.backend == "comfyui"):
        return None
    return (
        f"tts.qwen.rollout overrides tts.qwen.backend ({config.backend}): {config.rollout:.0%} of "
        "the requests go to comfyui, the rest to direct. Set rollout: null to let backend decide."
    )
