"""Services with the same settings for each model size, because presets choose a size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from storycore_tts.container import ConfiguredSpeech, Container
from storycore_tts.live_settings import LiveSettings, Source, read_settings
from storycore_tts.pipeline.sharing import SharedBackends
from storycore_tts.settings import QwenTTSConfig

# The engine creates a service for each job and never closes it. Services with the same settings
# share connections and models, so that a model stays loaded from one job to the next.
_ADAPTERS = SharedBackends()


class SpeechBySize:
    """One service per model size, opened on first use.

    Services with the same settings share connections and models in this process, which are closed
    with the last of them.

    Args:
        config: Settings, the path of a YAML file, or None for the default locations.
        job_seconds: Time limit of a job on ComfyUI, in seconds; None: as configured.
        **overrides: Settings that override those of ``config``; None: as configured.

    Raises:
        ConfigurationError: The settings are invalid.
    """

    def __init__(
        self, config: Source = None, *, job_seconds: float | None = None, **overrides: object
    ) -> None:
        self._job_seconds = job_seconds
        self._overrides = {key: value for key, value in overrides.items() if value is not None}
        self._services: dict[str, ConfiguredSpeech] = {}
        self._settings = LiveSettings(config, read=self._read, clock=Container.clock())
        self._settings.follow(self._prepare)

    @property
    def config(self) -> QwenTTSConfig:
        """The settings in force."""
        return self._settings.config

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the settings; see ``LiveSettings.warnings``."""
        return self._settings.warnings

    def tts(self, model_choice: str | None = None) -> ConfiguredSpeech:
        """Return the service for a model size.

        Args:
            model_choice: "0.6B" or "1.7B"; None: the configured size.

        Raises:
            ConfigurationError: The size is unknown.
            BackendUnavailable: A package that the backend needs is not installed.
        """
        size = self.config.model_choice if model_choice is None else model_choice
        if size not in self._services:
            config = sized(self.config, size)
            settings = LiveSettings(config, above=self._settings)
            self._services[size] = Container(
                config=config, settings=settings, shared=_ADAPTERS
            ).service()
        return self._services[size]

    async def refresh(self) -> None:
        """Reload the settings if their file has changed; see ``LiveSettings.refresh``."""
        await self._settings.refresh()

    async def reload(self, config: Source = None) -> None:
        """Reload the settings and use them for new requests.

        Args:
            config: Settings, or the path of a file, to switch to; None: the same source as before.

        Raises:
            TTSError: The settings are invalid, or a package is missing; the old ones stay in force.
        """
        await self._settings.reload(config)

    async def aclose(self) -> None:
        """Close all services; the next request opens its service again."""
        services, self._services = self._services, {}
        async with AsyncExitStack() as stack:  # a close that is cancelled still closes the others
            for service in services.values():
                stack.push_async_callback(service.aclose)

    def _prepare(self, config: QwenTTSConfig) -> Callable[[], None]:
        with _ADAPTERS.all_or_none():
            opened = tuple(self._services.items())
            uses = [service.prepare(sized(config, size)) for size, service in opened]

        def use() -> None:
            for one in uses:
                one()

        return use

    def _read(self, source: Source) -> QwenTTSConfig:
        read = _changed(read_settings(source), **self._overrides)
        if self._job_seconds is None:
            return read
        timeouts = {**dict(read.comfyui.timeouts), "job": float(self._job_seconds)}
        return _changed(read, comfyui={**dict(read.comfyui), "timeouts": timeouts})


def sized(config: QwenTTSConfig, model_choice: str) -> QwenTTSConfig:
    """Return the settings with another model size.

    Args:
        config: The settings.
        model_choice: "0.6B" or "1.7B".

    Raises:
        ConfigurationError: The size is unknown.
    """
    return _changed(config, model_choice=model_choice)


def _changed(config: QwenTTSConfig, **values: Any) -> QwenTTSConfig:
    return QwenTTSConfig(**{**dict(config), **values}) if values else config
