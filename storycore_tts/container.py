"""The composition root: settings in, a speech service with its backends out."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

from dependency_injector import containers, providers

from storycore_tts.adapters.telemetry import EventLog
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.events import Listeners, Reloaded
from storycore_tts.domain.logs import log_event
from storycore_tts.domain.voice_ids import VoiceChoice
from storycore_tts.errors import BackendUnavailable, ConfigurationError, TTSError
from storycore_tts.live_settings import LiveSettings, Source, read_settings
from storycore_tts.pipeline.breaker import Breaker
from storycore_tts.pipeline.calls import Backend, Dispatcher, Pipeline, backend_of
from storycore_tts.pipeline.fallback import Fallback
from storycore_tts.pipeline.observing import Observer
from storycore_tts.pipeline.retry import Retry
from storycore_tts.pipeline.rollout import Rollout
from storycore_tts.pipeline.sharing import SharedBackends
from storycore_tts.pipeline.switching import Switching
from storycore_tts.ports import Adapter
from storycore_tts.services.output import AudioFolder
from storycore_tts.services.speech import Defaults, TextToSpeech
from storycore_tts.services.voices import VoiceLibrary
from storycore_tts.settings import (
    ADAPTER_GROUP,
    AdapterSettings,
    QwenTTSConfig,
    entry_point,
    rollout_notice,
)

_log = logging.getLogger(__name__)


def make_adapter(name: str, config: QwenTTSConfig) -> Adapter:
    """Make an adapter by the name under which it is installed.

    Args:
        name: A name in the entry-point group ``storycore_tts.adapters``.
        config: What its factory is given.

    Raises:
        ConfigurationError: No adapter of that name is installed.
        BackendUnavailable: It is, but a package that it needs is not.
    """
    point = entry_point(ADAPTER_GROUP, name)
    if point is None:
        raise ConfigurationError(
            f"No adapter named {name!r} is installed.",
            key="tts.qwen.backend",
            value=name,
            hint="Is storycore-tts itself installed? pip install storycore-tts",
        )
    try:
        factory = point.load()
    except ImportError as error:
        package = point.dist.name if point.dist else "storycore-tts"
        extra = f"'{package}[{name}]'" if package == "storycore-tts" else package
        raise BackendUnavailable(
            f"The backend {name!r} needs a package that is not installed: {error}.",
            hint=f"pip install {extra}",
            backend=name,
            retryable=False,
        ) from error
    return cast(Adapter, factory(config))


def _defaults(config: QwenTTSConfig) -> Defaults:
    return Defaults(
        speaker=config.default_speaker,
        language=config.default_language,
        sampling=config.generation.sampling(),
        voice_map={
            name: VoiceChoice(one.speaker, one.language) for name, one in config.voice_map.items()
        },
        strip_markup=config.strip_markup,
    )


MakeAdapter: TypeAlias = Callable[[str, QwenTTSConfig], Adapter]


def assemble(
    config: QwenTTSConfig,
    *,
    shared: SharedBackends,
    listeners: Listeners,
    make: MakeAdapter = make_adapter,
) -> Backend:
    """Put the configured backends together, behind what makes them dependable.

    Args:
        config: The settings.
        shared: Where backends come from; one whose settings did not change stays as it is.
        listeners: Hear of retries, fallbacks and the rest.
        make: Makes an adapter by its name.

    Raises:
        ConfigurationError: No adapter of that name is installed.
        BackendUnavailable: It is, but a package that it needs is not.
    """
    assembly = _Assembly(config, shared, listeners, make)
    if config.rollout is None:
        return assembly.backend(config.backend)
    with shared.all_or_none():
        new, old = assembly.backend("comfyui"), assembly.backend("direct")
    return Rollout(
        new=new,
        new_name="comfyui",
        old=old,
        old_name="direct",
        share=config.rollout,
        by=config.routing_key,
        tell=listeners.tell,
    )


@dataclass(frozen=True)
class _Assembly:
    """Makes backends; the arguments are those of ``assemble``."""

    config: QwenTTSConfig
    shared: SharedBackends
    listeners: Listeners
    make: MakeAdapter

    def backend(self, name: str) -> Backend:
        """Return a backend with its fallbacks."""
        others = self.config.fallbacks_of(name)
        if not others:  # without another one to use, each call tries for itself
            return Pipeline(self._plain(name), self._retry(name))
        return Pipeline(
            self._with_breaker(name),
            Fallback(
                name,
                {other: partial(self._fallback, other) for other in others},
                tell=self.listeners.tell,
                # Users who have chosen a fallback learn why it does not speak.
                only_if_installed=self.config.has_usual_fallback,
            ),
            # The breaker lies inside: each failed try counts, and an open one ends the tries.
            self._retry(name),
        )

    def _fallback(self, name: str) -> Backend:
        return Pipeline(self._with_breaker(name), self._retry(name))

    def _with_breaker(self, name: str) -> Backend:
        """Return a backend with its breaker, which remembers what it knows over reloads."""
        config, tell = self.config, self.listeners.tell

        def made() -> Backend:
            plain = self._plain(name)
            return Pipeline(
                plain, Breaker(name, probe=plain.status, policy=config.breaker, tell=tell)
            )

        return self.shared.lease(("breaker", name, config.read_by(name), config.breaker), made)

    def _plain(self, name: str) -> Backend:
        key = (name, self.config.read_by(name))
        return self.shared.lease(key, lambda: Dispatcher(self.make(name, self.config), name))

    def _retry(self, name: str) -> Retry:
        return Retry(name, policy=self.config.retry, tell=self.listeners.tell)


def logged() -> Listeners:
    """Return listeners that begin with the log."""
    listeners = Listeners()
    listeners.add(EventLog())
    return listeners


class ConfiguredSpeech(TextToSpeech):
    """Speech as the settings say, and as they say from now on when they are read again.

    Args:
        settings: The settings; those of a file are looked at before each call.
        assemble: Makes the backend that they describe.
        listeners: Hear what happens to calls.
        voices: Where voices are stored by name, until settings are read that name another folder.
    """

    def __init__(
        self,
        settings: LiveSettings,
        assemble: Callable[..., Adapter | Backend],
        listeners: Listeners,
        voices: VoiceLibrary,
    ) -> None:
        self.config = settings.config
        self._settings = settings
        self._assemble = assemble
        self._switching = Switching(self._assembled(self.config))
        observer = Observer(backend=lambda: self.config.backend, tell=listeners.tell)
        super().__init__(
            Pipeline(self._switching, observer),
            name=self.config.backend,
            defaults=_defaults(self.config),
            listeners=listeners,
            voices=voices,
        )
        _tell_of_rollout(self.config)
        settings.follow(self.prepare)

    @property
    def endpoint(self) -> BackendEndpoint | None:
        """The ComfyUI server, where all that is asked goes there; None otherwise."""
        only = self.config.backend == "comfyui" and self.config.rollout is None
        return BackendEndpoint.at(self.config.comfyui_url) if only else None

    @asynccontextmanager
    async def at(self, endpoint: BackendEndpoint) -> AsyncIterator[TextToSpeech]:
        """Open the same backend at another endpoint, without a fallback; close it afterwards."""
        config = self.config.model_copy(update={"comfyui_url": endpoint.url, "fallback": None})
        there = ConfiguredSpeech(
            LiveSettings(config), self._assemble, self._listeners, self._voices
        )
        try:
            yield there
        finally:
            await there.end()

    async def reload(self, config: QwenTTSConfig | str | Path | None = None) -> None:
        """Read the settings again, and use them for what is asked from now on.

        What is under way ends where it began. A model stays loaded unless a setting of its own
        changed.

        Args:
            config: Settings, or a file, to use instead of the one that was read last.

        Raises:
            ConfigurationError: They are refused; everything stays as it was.
            BackendUnavailable: A package that the new backend needs is not installed; likewise.
        """
        await self._settings.reload(config)

    def prepare(self, config: QwenTTSConfig, *, tell: bool = True) -> Callable[[], None]:
        """Make the backend that other settings describe, and return what puts it to use.

        Args:
            config: The settings.
            tell: Let listeners hear of it.

        Raises:
            TTSError: See ``reload``.
        """
        backend = self._assembled(config)

        def use() -> None:
            self._switching.switch(backend)
            if config.voices_dir != self.config.voices_dir:
                self._voices = VoiceLibrary(config.voices_dir)
            self.config = config
            self._name, self.defaults = config.backend, _defaults(config)
            _tell_of_rollout(config)
            if tell:
                self._listeners.tell(Reloaded("", config.backend))

        return use

    async def end(self) -> None:
        """Close for good: what is under way is broken off, and what comes later is refused.

        After ``aclose`` alone, the next call opens everything again.
        """
        self._switching.refuse()
        await self.aclose()

    async def _ready(self) -> None:
        await self._settings.refresh()

    def _assembled(self, config: QwenTTSConfig) -> Backend:
        return backend_of(self._assemble(config=config), config.backend)

    def _machine(self, backend: str) -> str:
        own = self.config.block(backend, AdapterSettings)
        return f"{backend} {own.machine(self.config)}"


class Container(containers.DeclarativeContainer):
    """How the parts fit; every provider can be overridden in a test or by an application."""

    config = providers.Dependency(instance_of=QwenTTSConfig)
    listeners = providers.Singleton(logged)
    shared = providers.Singleton(SharedBackends)
    make = providers.Object(make_adapter)
    read = providers.Object(read_settings)
    clock = providers.Object(time.monotonic)
    settings = providers.Singleton(LiveSettings, config)
    adapter = providers.Factory(
        assemble, config=config, shared=shared, listeners=listeners, make=make
    )
    audio_folder = providers.Singleton(AudioFolder, config.provided.output_dir)
    voices = providers.Singleton(VoiceLibrary, config.provided.voices_dir)
    service = providers.Singleton(ConfiguredSpeech, settings, adapter.provider, listeners, voices)


def live_settings(source: Source | LiveSettings, *, fixed: tuple[str, ...] = ()) -> LiveSettings:
    """Return settings that follow their file; those that do already stay as they are.

    Args:
        source: Settings, the path of a YAML file, or None for the usual places.
        fixed: Blocks that stay as they are read first.

    Raises:
        ConfigurationError: The settings are refused.
    """
    if isinstance(source, LiveSettings):
        return source
    return LiveSettings(source, fixed=fixed, read=Container.read(), clock=Container.clock())


@asynccontextmanager
async def open_tts(
    config: QwenTTSConfig | str | Path | None = None, *, reload_on_hangup: bool = False
) -> AsyncIterator[ConfiguredSpeech]:
    """Open the backend that the settings name, and close it afterwards.

    A file is looked at before each call, once a second at most. If it changed, the settings are
    read again as ``reload`` does; those that are refused are logged, and the old ones stay.

    Leaving breaks off what is still under way, and refuses what comes later.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.
        reload_on_hangup: Read the settings again at each SIGHUP, on systems that have it. Needs the
            main thread. Settings that are refused are logged, and the old ones stay.

    Raises:
        ConfigurationError: The settings are refused.
        BackendUnavailable: A package that the backend needs is not installed.
    """
    settings = live_settings(config)
    service: ConfiguredSpeech = Container(config=settings.config, settings=settings).service()
    try:
        async with _hangups(service.reload) if reload_on_hangup else nullcontext():
            yield service
    finally:
        await service.end()


def _tell_of_rollout(config: QwenTTSConfig) -> None:
    if notice := rollout_notice(config):
        log_event(_log, logging.WARNING, "rollout.overrides_backend", notice=notice)


@asynccontextmanager
async def _hangups(reload: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Reload at each SIGHUP; a reload that is under way at the end is broken off."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:  # Windows
        yield
        return
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    async def reload_or_say_why() -> None:
        try:
            await reload()
        except TTSError as error:
            log_event(_log, logging.ERROR, "settings.refused", reason=str(error))

    def hung_up() -> None:
        task = loop.create_task(reload_or_say_why())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(hangup, hung_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(hangup)
        for task in reloads:
            task.cancel()
        if reloads:
            await asyncio.wait(reloads)
