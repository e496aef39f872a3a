"""The same settings with either size of the model: presets ask for one or the other."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from storycore_tts.adapters.resilience import SharedAdapters
from storycore_tts.container import ConfiguredSpeech, Container
from storycore_tts.settings import QwenTTSConfig, load_config

# The engine makes a service for each of its jobs, and closes none: whoever has the same settings
# shares what they describe, and a model stays loaded from one job to the next.
_ADAPTERS = SharedAdapters()


class SpeechBySize:
    """A service for each model size that is asked for, opened when it is first needed.

    Those with the same settings share connections and models in this process; they are closed when
    the last one is.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.
        **overrides: Settings that go above those; None changes nothing.

    Raises:
        ConfigurationError: The settings are refused.
    """

    def __init__(
        self, config: QwenTTSConfig | str | Path | None = None, **overrides: object
    ) -> None:
        self._source = config
        self._overrides = {key: value for key, value in overrides.items() if value is not None}
        self._services: dict[str, ConfiguredSpeech] = {}
        self.config = self._settings(config)

    def tts(self, model_choice: str | None = None) -> ConfiguredSpeech:
        """Return the service whose model has this size; None for the configured one.

        Raises:
            ConfigurationError: There is no such size.
            BackendUnavailable: A package that the backend needs is not installed.
        """
        size = self.config.model_choice if model_choice is None else model_choice
        if size not in self._services:
            self._services[size] = Container(
                config=sized(self.config, size), shared=_ADAPTERS
            ).service()
        return self._services[size]

    async def reload(self, config: QwenTTSConfig | str | Path | None = None) -> None:
        """Read the settings again, and use them for what is asked from now on.

        Args:
            config: Settings, or a file, to use instead of what was read last.

        Raises:
            TTSError: See ``ConfiguredSpeech.reload``.
        """
        source = self._source if config is None else config
        settings = self._settings(source)
        reloaded = set[str]()
        while left := self._services.keys() - reloaded:  # a size may be opened meanwhile
            size = left.pop()
            await self._services[size].reload(sized(settings, size))
            reloaded.add(size)
        self.config, self._source = settings, source

    async def aclose(self) -> None:
        """Close what was opened; the next request opens it again."""
        services, self._services = self._services, {}
        async with AsyncExitStack() as stack:  # a close that is cancelled still closes the others
            for service in services.values():
                stack.push_async_callback(service.aclose)

    def _settings(self, source: QwenTTSConfig | str | Path | None) -> QwenTTSConfig:
        read = source if isinstance(source, QwenTTSConfig) else load_config(source).config
        return _changed(read, **self._overrides)


def sized(config: QwenTTSConfig, model_choice: str) -> QwenTTSConfig:
    """Return the same settings with another size of the model.

    Raises:
        ConfigurationError: There is no such size.
    """
    return _changed(config, model_choice=model_choice)


def _changed(config: QwenTTSConfig, **values: Any) -> QwenTTSConfig:
    return QwenTTSConfig(**{**dict(config), **values}) if values else config
