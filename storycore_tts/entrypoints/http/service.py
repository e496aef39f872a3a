"""What the routes use: the speech service and its dependencies, opened and closed with the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from fastapi import Depends, Request, UploadFile
from prometheus_client import CollectorRegistry

from storycore_tts.adapters.telemetry import PrometheusMetrics
from storycore_tts.container import live_settings
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.sampling import Sampling
from storycore_tts.entrypoints.http.rates import Rates, Shared
from storycore_tts.live_settings import LiveSettings, Source
from storycore_tts.service_container import open_reader, open_speech_service
from storycore_tts.services.speech_service import SpeechService
from storycore_tts.settings import QwenTTSConfig

if TYPE_CHECKING:
    from storycore_tts.adapters.audio_intake import RecordingReader


FIXED = ("server",)
"""What is read once: who may ask, and where the service listens, must not change unseen."""


@dataclass(frozen=True)
class Service:
    """One service.

    Args:
        settings: Its settings.
        speech: Speaks, at once or as jobs.
        reader: Decodes recordings from strangers.
        registry: Its metrics.
        rates: Counts requests.
        readiness: Whether each backend can be reached, and the job database; anybody may ask, so
            that they are looked at once a second at most.
        keeps_recordings: Whether a recording that is spoken in at once is kept for later lines.
    """

    settings: LiveSettings
    speech: SpeechService
    reader: RecordingReader
    registry: CollectorRegistry
    rates: Rates
    readiness: Shared[tuple[Mapping[str, bool], bool]]
    keeps_recordings: bool = True

    @property
    def config(self) -> QwenTTSConfig:
        """The settings in force."""
        return self.settings.config

    def sampling(self, given: Mapping[str, Any]) -> Sampling:
        """Return the configured sampling, with what was given in its place; None changes nothing.

        Raises:
            InvalidRequest: A value out of its range.
        """
        return self.config.generation.sampling(**given)

    async def recording(
        self, upload: UploadFile, *, transcript: str | None = None
    ) -> ReferenceAudio:
        """Decode a recording that was sent.

        Raises:
            InvalidReferenceAudio: See ``RecordingReader.read``.
        """
        return await self.reader.read(await upload.read(), transcript=transcript)


class State(TypedDict):
    """What each request finds in its ``state``."""

    storycore_tts: Service


def lifespan_of(
    config: Source | LiveSettings,
) -> Callable[[Any], AbstractAsyncContextManager[State]]:
    """Return a lifespan that opens the service."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[State]:
        async with open_service(live_settings(config, fixed=FIXED)) as service:
            yield {"storycore_tts": service}

    return lifespan


@asynccontextmanager
async def open_service(
    settings: LiveSettings, *, on_demand: bool = False
) -> AsyncIterator[Service]:
    """Open a service, and close it afterwards.

    Args:
        settings: Its settings.
        on_demand: Open the store of jobs, and what reads recordings, when they are first needed.

    Raises:
        BackendUnavailable: A package that a backend or the queue needs is not installed.
        StorageFailed: The database of jobs cannot be used.
    """
    registry = CollectorRegistry()
    server = settings.config.server
    async with (
        open_speech_service(
            settings, listener=PrometheusMetrics(registry), store_when_asked=on_demand
        ) as speech_service,
        open_reader(settings.config, ahead=not on_demand) as reader,
        aclosing(Shared(partial(_readiness, speech_service), seconds=1.0)) as readiness,
    ):
        yield Service(
            settings,
            speech_service,
            reader,
            registry,
            Rates(server.requests_per_minute),
            readiness,
            keeps_recordings=not on_demand,
        )


class OnDemand:
    """A service inside another app, opened when it is first asked for anything.

    Settings that are refused are an answer (503) until they are mended; the app starts without.

    Args:
        config: Settings, the path of a YAML file, or None for the usual places.
    """

    def __init__(self, config: Source) -> None:
        self._source = config
        self._opening = asyncio.Lock()
        self._opened: tuple[asyncio.AbstractEventLoop, AsyncExitStack, Service] | None = None

    async def service(self) -> Service:
        """Return it, on this event loop.

        Raises:
            ConfigurationError: The settings are refused.
            BackendUnavailable: A package that a backend needs is not installed.
        """
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            async with self._opening:
                if self._opened is None or self._opened[0] is not loop:
                    self._opened = (loop, *await self._open())
        service = self._opened[2]
        await service.settings.refresh()
        return service

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Close with the app what was opened meanwhile."""
        try:
            yield
        finally:
            opened, self._opened = self._opened, None
            if opened is not None:
                await opened[1].aclose()

    async def _open(self) -> tuple[AsyncExitStack, Service]:
        settings = await asyncio.to_thread(live_settings, self._source, fixed=FIXED)
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(open_service(settings, on_demand=True))
            return stack.pop_all(), service


async def _readiness(speech_service: SpeechService) -> tuple[Mapping[str, bool], bool]:
    found = await asyncio.gather(*(tts.status() for tts in speech_service.backends.values()))
    reachable = {
        name: one.reachable for name, one in zip(speech_service.backends, found, strict=True)
    }
    try:
        await (await speech_service.queue()).counts()
    except StorageFailed:
        return reachable, False
    return reachable, True


async def _current(request: Request) -> Service:
    service: Service = request.state.storycore_tts
    await service.settings.refresh()
    return service


CurrentService = Annotated[Service, Depends(_current)]
