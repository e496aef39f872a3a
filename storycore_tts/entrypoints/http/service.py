"""What the routes work with: one studio and what it needs, opened and closed with the app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from fastapi import Depends, Request, UploadFile
from prometheus_client import CollectorRegistry

from storycore_tts.adapters.telemetry import PrometheusMetrics
from storycore_tts.container import open_reader, open_studio
from storycore_tts.domain.errors import StorageFailed
from storycore_tts.domain.requests import ReferenceAudio
from storycore_tts.domain.sampling import Sampling
from storycore_tts.entrypoints.http.security.rates import Rates, Shared
from storycore_tts.services.studio import Studio
from storycore_tts.settings import QwenTTSConfig

if TYPE_CHECKING:
    from storycore_tts.adapters.intake import RecordingReader


@dataclass(frozen=True)
class Service:
    """One service.

    Args:
        config: Its settings.
        studio: Speaks, at once or as jobs.
        reader: Decodes recordings from strangers.
        registry: Its metrics.
        rates: Counts requests.
        readiness: Whether each backend can be reached, and the job database; anybody may ask, so
            that they are looked at once a second at most.
    """

    config: QwenTTSConfig
    studio: Studio
    reader: RecordingReader
    registry: CollectorRegistry
    rates: Rates
    readiness: Shared[tuple[Mapping[str, bool], bool]]

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


def lifespan_of(config: QwenTTSConfig) -> Callable[[Any], AbstractAsyncContextManager[State]]:
    """Return a lifespan that opens the service."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[State]:
        async with open_studio(config) as studio, open_reader(config) as reader:
            registry = CollectorRegistry()
            for tts in studio.backends.values():
                tts.add_listener(PrometheusMetrics(registry))
            rates = Rates(config.server.requests_per_minute)
            async with aclosing(Shared(partial(_readiness, studio), seconds=1.0)) as readiness:
                service = Service(config, studio, reader, registry, rates, readiness)
                yield {"storycore_tts": service}

    return lifespan


async def _readiness(studio: Studio) -> tuple[Mapping[str, bool], bool]:
    found = await asyncio.gather(*(tts.status() for tts in studio.backends.values()))
    reachable = {name: one.reachable for name, one in zip(studio.backends, found, strict=True)}
    try:
        await studio.queue.counts()
    except StorageFailed:
        return reachable, False
    return reachable, True


async def _current(request: Request) -> Service:
    service: Service = request.state.storycore_tts
    return service


CurrentService = Annotated[Service, Depends(_current)]
