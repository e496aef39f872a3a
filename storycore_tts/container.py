"""Composition root: builds a speech service and its backends from the settings."""

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

from storycore_tts.adapters import c2pa, perth
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
from storycore_tts.ports.marking import GenerationRecords, Watermark
from storycore_tts.services.files import ledger_file, user_data
from storycore_tts.services.marking import Marking, MarkingPolicy
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
from storycore_tts.settings.marking import MarkingConfig

_log = logging.getLogger(__name__)


def make_adapter(name: str, config: QwenTTSConfig) -> Adapter:
    """Create an installed adapter by its name.

    Args:
        name: A name in the entry-point group ``storycore_tts.adapters``.
        config: The settings, passed to the adapter's factory.

    Raises:
        ConfigurationError: No adapter with this name is installed.
        BackendUnavailable: A package that the adapter needs is not installed.
    """
    point = entry_point(ADAPTER_GROUP, name)
    if point is None:
        raise ConfigurationError(
            f"No adapter named {name!r} is installed.",
            key="tts.qwen.backend",
            value=name,
            hint="Is storycore-tts itself installed? pip install storycore-tts",
        )
    package = point.dist.name if point.dist else "storycore-tts"
    try:
        factory = point.load()
    except ImportError as error:
        raise _incomplete(name, package, error) from error
    except Exception as error:  # importing runs any code of another package
        raise BackendUnavailable(
            f"The adapter {name!r} cannot be loaded: {error}.",
            hint=f"Install {package} again, or remove it.",
            backend=name,
            retryable=False,
        ) from error
    try:
        return cast(Adapter, factory(config))
    except ImportError as error:  # it imports what it needs now
        raise _incomplete(name, package, error) from error


def _incomplete(name: str, package: str, error: ImportError) -> BackendUnavailable:
    extra = f"'{package}[{name}]'" if package == "storycore-tts" else package
    return BackendUnavailable(
        f"The backend {name!r} needs a package that is not installed: {error}.",
        hint=f"pip install {extra}",
        backend=name,
        retryable=False,
    )


def _defaults(config: QwenTTSConfig) -> Defaults:
    return Defaults(
        speaker=config.default_speaker,
        language=config.default_language,
        sampling=config.generation.sampling(),
        voice_map={
            name: VoiceChoice(one.speaker, one.language) for name, one in config.voice_map.items()
        },
        strip_markup=config.strip_markup,
        project=config.default_project,
        purpose=config.default_purpose,
        at_once=config.consent.at_once,
    )


def marking_for(config: QwenTTSConfig) -> Marking:
    """Return what marks sound files as synthetic, as the settings say.

    Args:
        config: The settings.

    Raises:
        ConfigurationError: See ``adapters.c2pa.create``; or all files shall have a watermark, and
            its extra is not installed.
    """
    marking = config.marking
    return Marking(
        MarkingPolicy(
            enabled=marking.off_because is None,
            publish_text="text" in marking.publish,
            publish_voice="voice" in marking.publish,
            strict=marking.on_failure == "error",
            require_record=config.ledger.required,
            watermark_all=marking.watermark == "always",
        ),
        signer=c2pa.create(marking, folder=_signing_folder()),
        watermark=_watermark(marking),
        records=_ledger(config) if config.ledger.enabled else None,
    )


def signing_state(config: QwenTTSConfig) -> c2pa.SigningState:
    """Return whether sound files are signed, the signer and the expiry date. Blocks.

    Args:
        config: The settings.
    """
    return c2pa.state(config.marking, folder=_signing_folder())


def _signing_folder() -> Path:
    return user_data() / "signing"


def _ledger(config: QwenTTSConfig) -> GenerationRecords:
    from storycore_tts.adapters.ledger import Ledger

    return Ledger(ledger_file(config.ledger.path), keep_days=config.ledger.keep_days)


def _watermark(config: MarkingConfig) -> Watermark | None:
    """Return the watermark; its networks are loaded when it is first used."""
    if config.watermark == "off" or config.off_because is not None:
        return None
    reason = perth.missing()
    if reason is None:
        return perth.PerthWatermark()
    if config.watermark == "always":
        raise ConfigurationError(
            f"All files shall have a watermark, but {reason}.",
            key="tts.qwen.marking.watermark",
            value=config.watermark,
            hint=perth.HINT,
        )
    return None


MakeAdapter: TypeAlias = Callable[[str, QwenTTSConfig], Adapter]


def assemble(
    config: QwenTTSConfig,
    *,
    shared: SharedBackends,
    listeners: Listeners,
    make: MakeAdapter = make_adapter,
) -> Backend:
    """Build the configured backends, with retries, circuit breakers, fallbacks and rollout.

    Args:
        config: The settings.
        shared: Pool of backends; those whose settings did not change are reused.
        listeners: Receive events such as retries and fallbacks.
        make: Creates an adapter by its name.

    Raises:
        ConfigurationError: No adapter with a configured name is installed.
        BackendUnavailable: A package that an adapter needs is not installed.
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
    """Builds backends; the arguments are those of ``assemble``."""

    config: QwenTTSConfig
    shared: SharedBackends
    listeners: Listeners
    make: MakeAdapter

    def backend(self, name: str) -> Backend:
        """Return a backend with its fallbacks."""
        others = self.config.fallbacks_of(name)
        if not others:  # no breaker: there is nothing else to switch to
            return Pipeline(self._plain(name), self._retry(name))
        return Pipeline(
            self._with_breaker(name),
            Fallback(
                name,
                {other: partial(self._fallback, other) for other in others},
                tell=self.listeners.tell,
                # A fallback that the user configured reports why it is unavailable.
                only_if_installed=self.config.has_usual_fallback,
            ),
            # The breaker is inside the retry: each attempt counts, and an open one stops retries.
            self._retry(name),
        )

    def _fallback(self, name: str) -> Backend:
        return Pipeline(self._with_breaker(name), self._retry(name))

    def _with_breaker(self, name: str) -> Backend:
        """Return a backend with its breaker, which keeps its state across reloads."""
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
    """Return listeners with one that writes events to the log."""
    listeners = Listeners()
    listeners.add(EventLog())
    return listeners


class ConfiguredSpeech(TextToSpeech):
    """A speech service that follows its settings when they change.

    Args:
        settings: The settings; a file is checked for changes before each call.
        assemble: Builds the backend from the settings.
        listeners: Receive events about calls.
        voices: The voice library, until the settings name another folder.
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
            self._switching,
            name=self.config.backend,
            defaults=_defaults(self.config),
            listeners=listeners,
            voices=voices,
            marking=marking_for(self.config),
            middleware=[observer],
        )
        _tell_of_notices(self.config)
        settings.follow(self.prepare)

    @property
    def endpoint(self) -> BackendEndpoint | None:
        """The ComfyUI server if all requests go there; None otherwise."""
        only = self.config.backend == "comfyui" and self.config.rollout is None
        return BackendEndpoint.at(self.config.comfyui_url) if only else None

    @asynccontextmanager
    async def at(self, endpoint: BackendEndpoint) -> AsyncIterator[TextToSpeech]:
        """Open the same backend at another endpoint, without a fallback, and close it on exit.

        Args:
            endpoint: The server to use instead of the configured one.
        """
        config = self.config.model_copy(update={"comfyui_url": endpoint.url, "fallback": None})
        there = ConfiguredSpeech(
            LiveSettings(config), self._assemble, self._listeners, self._voices
        )
        try:
            yield there
        finally:
            await there.end()

    async def reload(self, config: QwenTTSConfig | str | Path | None = None) -> None:
        """Reload the settings and use them for new requests.

        Requests in progress finish on the old backend. A model stays loaded unless one of its own
        settings changed. On an error, the old settings stay in force.

        Args:
            config: Settings, or the path of a file, to switch to; None: the same source as before.

        Raises:
            ConfigurationError: The settings are invalid.
            BackendUnavailable: A package that the new backend needs is not installed.
        """
        await self._settings.reload(config)

    def prepare(self, config: QwenTTSConfig, *, tell: bool = True) -> Callable[[], None]:
        """Build the backend for new settings, and return a function that switches to it.

        Args:
            config: The new settings.
            tell: Whether to send listeners a ``Reloaded`` event.

        Raises:
            TTSError: See ``reload``.
        """
        backend = self._assembled(config)
        marking = marking_for(config)

        def use() -> None:
            self._switching.switch(backend)
            if config.voices_dir != self.config.voices_dir:
                self._voices = VoiceLibrary(config.voices_dir)
            self.config = config
            self._marking = marking
            self._name, self.defaults = config.backend, _defaults(config)
            _tell_of_notices(config)
            if tell:
                self._listeners.tell(Reloaded("", config.backend))

        return use

    async def end(self) -> None:
        """Close permanently: cancel requests in progress and reject new ones.

        After ``aclose``, by contrast, the next call opens the backend again.
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
    """Dependency-injection container; tests and applications can override every provider."""

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
    """Return settings that follow changes of their file.

    Args:
        source: Settings, the path of a YAML file, or None for the default locations.
            ``LiveSettings`` are returned unchanged.
        fixed: Names of blocks that are not reloaded.

    Raises:
        ConfigurationError: The settings are invalid.
    """
    if isinstance(source, LiveSettings):
        return source
    return LiveSettings(source, fixed=fixed, read=Container.read(), clock=Container.clock())


@asynccontextmanager
async def open_tts(
    config: QwenTTSConfig | str | Path | None = None, *, reload_on_hangup: bool = False
) -> AsyncIterator[ConfiguredSpeech]:
    """Open the configured backend, and close it on exit.

    A settings file is checked for changes before each call, at most once a second, and reloaded
    as by ``reload``. If the new settings are invalid, the error is logged and the old ones stay.

    Exiting the context cancels requests in progress and rejects new ones.

    Args:
        config: Settings, the path of a YAML file, or None for the default locations.
        reload_on_hangup: Reload the settings on SIGHUP, where the system has it. Requires the main
            thread. If the new settings are invalid, the error is logged and the old ones stay.

    Raises:
        ConfigurationError: The settings are invalid.
        BackendUnavailable: A package that the backend needs is not installed.
    """
    settings = live_settings(config)
    service: ConfiguredSpeech = Container(config=settings.config, settings=settings).service()
    try:
        async with _hangups(service.reload) if reload_on_hangup else nullcontext():
            yield service
    finally:
        await service.end()


def _tell_of_notices(config: QwenTTSConfig) -> None:
    if notice := rollout_notice(config):
        log_event(_log, logging.WARNING, "rollout.overrides_backend", notice=notice)
    if reason := config.marking.off_because:
        log_event(_log, logging.WARNING, "marking.off", backend=config.backend, reason=reason)


@asynccontextmanager
async def _hangups(reload: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Reload on each SIGHUP; a reload still running on exit is cancelled."""
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
