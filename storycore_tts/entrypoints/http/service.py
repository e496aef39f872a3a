"""The speech service and its dependencies, opened and closed with the app."""

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
from pydantic import BaseModel

from storycore_tts.adapters.telemetry import PrometheusMetrics
from storycore_tts.container import live_settings
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.sampling import Sampling, SamplingParameters
from storycore_tts.entrypoints.http.rates import Rates, Shared
from storycore_tts.errors import StorageFailed
from storycore_tts.live_settings import LiveSettings, Source
from storycore_tts.parameter_fields import given_in
from storycore_tts.service_container import make_inspector, open_reader, open_speech_service
from storycore_tts.services.inspection import Inspector
from storycore_tts.services.speech_service import SpeechService
from storycore_tts.settings import QwenTTSConfig

if TYPE_CHECKING:
    from storycore_tts.adapters.audio_intake import RecordingReader


FIXED = ("server",)
"""Settings that are not reloaded: keys and addresses must not change while running."""


@dataclass(frozen=True)
class Service:
    """The dependencies of the routes.

    Args:
        settings: The live settings.
        speech: Generates speech, directly or as jobs.
        reader: Decodes untrusted recordings.
        inspector: Inspects untrusted sound files.
        registry: The Prometheus metrics.
        rates: The rate limits.
        readiness: Whether each backend and the job database are available. Checked at most once a
            second, since the route needs no key.
        keeps_recordings: Whether a recording sent with a request is kept for later requests.
    """

    settings: LiveSettings
    speech: SpeechService
    reader: RecordingReader
    inspector: Inspector
    registry: CollectorRegistry
    rates: Rates
    readiness: Shared[tuple[Mapping[str, bool], bool]]
    keeps_recordings: bool = True

    @property
    def config(self) -> QwenTTSConfig:
        """The current settings."""
        return self.settings.config

    def finder(self, owner: str) -> str | None:
        """Return who looks for stored voices; see ``VoiceLibrary.find``.

        Args:
            owner: Owner of the request.
        """
        return owner if self.config.server.api_keys else None  # without keys there is one user

    def sampling(self, body: BaseModel) -> Sampling:
        """Return the configured sampling parameters, overridden by those of a body.

        Raises:
            InvalidRequest: A value is out of range.
        """
        return self.config.generation.sampling(**given_in(body, SamplingParameters))

    async def recording(
        self, upload: UploadFile, *, transcript: str | None = None
    ) -> ReferenceAudio:
        """Decode an uploaded recording.

        Args:
            upload: The uploaded file.
            transcript: What is said in it, if known.

        Raises:
            InvalidReferenceAudio: See ``RecordingReader.read``.
        """
        return await self.reader.read(await upload.read(), transcript=transcript)


class State(TypedDict):
    """The ``state`` of each request."""

    storycore_tts: Service


def lifespan_of(
    config: Source | LiveSettings,
) -> Callable[[Any], AbstractAsyncContextManager[State]]:
    """Return a lifespan that opens and closes the service.

    Args:
        config: Settings, or where to load them from.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[State]:
        async with open_service(live_settings(config, fixed=FIXED)) as service:
            yield {"storycore_tts": service}

    return lifespan


@asynccontextmanager
async def open_service(
    settings: LiveSettings, *, on_demand: bool = False
) -> AsyncIterator[Service]:
    """Open a service; close it afterwards.

    Args:
        settings: The live settings.
        on_demand: Open the job store and the recording reader when they are first needed.

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
            make_inspector(lambda: settings.config, reader.samples, max_bytes=reader.max_bytes),
            registry,
            Rates(server.requests_per_minute),
            readiness,
            keeps_recordings=not on_demand,
        )


class OnDemand:
    """A service inside another app, opened at the first request.

    The app starts even if settings are invalid; requests get a 503 until they are corrected.

    Args:
        config: Settings, the path of a YAML file, or None for the default locations.
    """

    def __init__(self, config: Source) -> None:
        self._source = config
        self._opening = asyncio.Lock()
        self._opened: tuple[asyncio.AbstractEventLoop, AsyncExitStack, Service] | None = None

    async def service(self) -> Service:
        """Return the service for the running event loop; open it if necessary.

        Raises:
            ConfigurationError: The settings are invalid.
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
        """Close the service with the app, if it was opened."""
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
