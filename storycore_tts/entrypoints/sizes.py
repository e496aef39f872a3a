"""The same settings with either size of the model: presets ask for one or the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from storycore_tts.container import ConfiguredSpeech, Container
from storycore_tts.live_settings import LiveSettings, Source, read_settings
from storycore_tts.pipeline.sharing import SharedBackends
from storycore_tts.settings import QwenTTSConfig

# The engine makes a service for each of its jobs, and closes none: whoever has the same settings
# shares what they describe, and a model stays loaded from one job to the next.
_ADAPTERS = SharedBackends()


class SpeechBySize:
    """A service for each model size that is asked for, opened when it is first needed.

    Those with the same settings share connections and models in this process; they are closed when
    the last one is.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.
        job_seconds: How long a job may take on ComfyUI; None changes nothing.
        **overrides: Settings that go above those; None changes nothing.

    Raises:
        ConfigurationError: The settings are refused.
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
        """What is to be said of the settings; see ``LiveSettings.warnings``."""
        return self._settings.warnings

    def tts(self, model_choice: str | None = None) -> ConfiguredSpeech:
        """Return the service whose model has this size; None for the configured one.

        Raises:
            ConfigurationError: There is no such size.
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
        """Read the settings again if their file has changed; see ``LiveSettings.refresh``."""
        await self._settings.refresh()

    async def reload(self, config: Source = None) -> None:
        """Read the settings again, and use them for what is asked from now on.

        Args:
            config: Settings, or a file, to use instead of what was read last.

        Raises:
            TTSError: They are refused, or a package is missing; everything stays as it was.
        """
        await self._settings.reload(config)

    async def aclose(self) -> None:
        """Close what was opened; the next request opens it again."""
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
    """Return the same settings with another size of the model.

    Raises:
        ConfigurationError: There is no such size.
    """
    return _changed(config, model_choice=model_choice)


def _changed(config: QwenTTSConfig, **values: Any) -> QwenTTSConfig:
    return QwenTTSConfig(**{**dict(config), **values}) if values else config
