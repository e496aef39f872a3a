"""The one place that knows everybody: settings in, a service with its adapter out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from dependency_injector import containers, providers

from storycore_tts.domain.errors import BackendUnavailable, ConfigurationError
from storycore_tts.ports import Adapter
from storycore_tts.services.output import AudioFolder
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.settings import ADAPTER_GROUP, QwenTTSConfig, load_config


def make_adapter(name: str, config: QwenTTSConfig) -> Adapter:
    """Make an adapter by the name under which it is installed.

    Args:
        name: A name in the entry-point group ``storycore_tts.adapters``.
        config: What its factory is given.

    Raises:
        ConfigurationError: No adapter of that name is installed.
        BackendUnavailable: It is, but a package that it needs is not.
    """
    found = [point for point in entry_points(group=ADAPTER_GROUP) if point.name == name]
    if not found:
        raise ConfigurationError(
            f"No adapter named {name!r} is installed.",
            key="tts.qwen.backend",
            value=name,
            hint="Is storycore-tts itself installed? pip install storycore-tts",
        )
    try:
        factory = found[0].load()
    except ImportError as error:
        raise BackendUnavailable(
            f"The backend {name!r} needs a package that is not installed: {error}.",
            hint=f"pip install 'storycore-tts[{name}]'",
            backend=name,
            retryable=False,
        ) from error
    return cast(Adapter, factory(config))


def _defaults(config: QwenTTSConfig) -> Defaults:
    return Defaults(
        speaker=config.default_speaker,
        language=config.default_language,
        sampling=config.generation.sampling(),
    )


class Container(containers.DeclarativeContainer):
    """How the parts fit; every provider can be overridden in a test or by an application."""

    config = providers.Dependency(instance_of=QwenTTSConfig)
    adapter = providers.Singleton(make_adapter, name=config.provided.backend, config=config)
    audio_folder = providers.Singleton(AudioFolder, config.provided.output_dir)
    service = providers.Singleton(
        TextToSpeech,
        adapter,
        name=config.provided.backend,
        defaults=providers.Callable(_defaults, config),
    )


@asynccontextmanager
async def open_tts(
    config: QwenTTSConfig | str | Path | None = None,
) -> AsyncIterator[TextToSpeech]:
    """Open the backend that the settings name, and close it afterwards.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.

    Raises:
        ConfigurationError: The settings are refused.
        BackendUnavailable: A package that the backend needs is not installed.
    """
    settings = config if isinstance(config, QwenTTSConfig) else load_config(config).config
    service = Container(config=settings).service()
    try:
        yield service
    finally:
        await service.aclose()
