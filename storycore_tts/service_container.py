"""Composition root of the HTTP service: several backends and a job store."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from storycore_tts.adapters import perth
from storycore_tts.adapters.audio_intake import IntakeLimits, RecordingReader
from storycore_tts.adapters.c2pa.isolated import IsolatedManifests
from storycore_tts.container import ConfiguredSpeech, Container, logged
from storycore_tts.domain.consent import Revocation
from storycore_tts.domain.endpoints import BackendEndpoint
from storycore_tts.domain.events import Listener, Reloaded
from storycore_tts.domain.jobs import Failure, JobHandler, JobKind, Withdrawn
from storycore_tts.errors import ConfigurationError
from storycore_tts.live_settings import LiveSettings
from storycore_tts.pipeline.sharing import SharedBackends
from storycore_tts.ports.inspecting import Manifest, ReadSamples
from storycore_tts.ports.marking import Watermark
from storycore_tts.services.capacity import Capacity
from storycore_tts.services.files import user_data
from storycore_tts.services.inspection import Inspector, NotChecked
from storycore_tts.services.speech import TextToSpeech
from storycore_tts.services.speech_service import SpeechService, Store
from storycore_tts.settings import AdapterSettings, QwenTTSConfig
from storycore_tts.sound.tag_reader import read_tags

if TYPE_CHECKING:
    from storycore_tts.adapters.queue import DurableQueue

_PIP = "pip install 'storycore-tts[{}]'"
_NO_C2PA = f"c2pa-python is not installed: {_PIP.format('trust')}"
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@asynccontextmanager
async def open_speech_service(
    settings: LiveSettings, *, listener: Listener | None = None, store_when_asked: bool = False
) -> AsyncIterator[SpeechService]:
    """Open the configured backends and the job queue, and close them on exit.

    When the settings change, the new ``backend`` becomes the default. Backends that are already
    open stay available.

    Args:
        settings: The settings; the block ``server`` is read only once, here.
        listener: Receives the events of all backends.
        store_when_asked: Open the job store on first use, and share its folder with other
            processes.

    Raises:
        BackendUnavailable: A package that a backend or the queue needs is not installed.
        StorageFailed: The database of jobs cannot be used.
    """
    async with AsyncExitStack() as stack, AsyncExitStack() as first:
        backends = _Backends(settings.config, stack)
        if listener is not None:
            backends.listeners.add(listener)
        store = _Store(settings, backends.capacities, share=store_when_asked)
        first.push_async_callback(store.aclose)
        speech_service = SpeechService(
            backends.services,
            backends.capacities,
            store=store,
            elsewhere=backends.at,
            forget=backends.forget,
        )
        store.perform = speech_service.perform

        def prepare(config: QwenTTSConfig) -> Callable[[], None]:
            change = backends.prepare(config)

            def use() -> None:
                change()
                speech_service.default_backend = config.backend
                store.offer(backends.capacities)

            return use

        first.callback(settings.follow(prepare))
        if not store_when_asked:
            await store()
        yield speech_service


class _Backends:
    """The backends of a speech service.

    Args:
        config: The initial settings.
        stack: Closes the backends on exit.
    """

    def __init__(self, config: QwenTTSConfig, stack: AsyncExitStack) -> None:
        self._server = config.server
        self._stack = stack
        self._shared = SharedBackends()
        self.listeners = logged()
        self.services: dict[str, ConfiguredSpeech] = {}
        self.capacities: dict[str, Capacity] = {}
        for name in dict.fromkeys([config.backend, *config.server.backends]):
            self._add(name, self._made(_on(config, name)))

    def prepare(self, config: QwenTTSConfig) -> Callable[[], None]:
        """Prepare for new settings; see ``ConfiguredSpeech.prepare``."""
        usual = config.backend
        with self._shared.all_or_none():
            uses = [
                service.prepare(_on(config, name), tell=name == usual)
                for name, service in self.services.items()
            ]
            new = None if usual in self.services else self._made(config)

        def use() -> None:
            for one in uses:
                one()
            if new is not None:
                self._add(usual, new)
                self.listeners.tell(Reloaded("", usual))

        return use

    def at(
        self, backend: str, endpoint: BackendEndpoint
    ) -> AbstractAsyncContextManager[TextToSpeech]:
        """Open a backend at another endpoint."""
        return self.services[backend].at(endpoint)

    def forget(self, reference_sha256: str) -> None:
        """Drop what the backends prepared from a recording."""
        self._shared.forget(reference_sha256)

    def _made(self, config: QwenTTSConfig) -> ConfiguredSpeech:
        service: ConfiguredSpeech = Container(
            config=config, shared=self._shared, listeners=self.listeners
        ).service()
        return service

    def _add(self, name: str, service: ConfiguredSpeech) -> None:
        self._stack.push_async_callback(service.end)
        self.services[name] = service
        self.capacities[name] = Capacity(
            name, concurrency=_places(service.config, name), max_waiting=self._server.max_waiting
        )


class _Store:
    """The job store, opened on first use.

    Args:
        settings: The settings.
        capacities: Concurrency limits of each backend.
        share: Whether other processes may use the same folder.
    """

    perform: JobHandler

    def __init__(
        self, settings: LiveSettings, capacities: Mapping[str, Capacity], *, share: bool
    ) -> None:
        self._settings, self._capacities, self._share = settings, capacities, share
        self._opening = asyncio.Lock()
        self._queue: DurableQueue | None = None
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self) -> Store:
        """Return the store, opening it if necessary; see ``OpenStore``."""
        async with self._opening:
            if self._queue is None:
                concurrency = {name: one.concurrency for name, one in self._capacities.items()}
                queue = make_queue(self._settings.config, concurrency, share=self._share)
                await queue.start(self.perform)
                self._queue = queue
                self._looking = asyncio.ensure_future(self._look())
            return Store(self._queue, self._queue.uploads, self._queue.affinities)

    def offer(self, capacities: Mapping[str, Capacity]) -> None:
        """Run jobs for these backends as well."""
        for name, one in capacities.items():
            if self._queue is not None:
                self._queue.offer(name, one.concurrency)

    async def aclose(self) -> None:
        """Close the store if it is open."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        if self._queue is not None:
            await self._queue.aclose()

    async def _look(self) -> None:
        """Poll the settings for changes, because other processes accept jobs that use new ones."""
        while True:
            await asyncio.sleep(1.0)
            await self._settings.refresh()


@asynccontextmanager
async def open_reader(
    config: QwenTTSConfig, *, ahead: bool = True
) -> AsyncIterator[RecordingReader]:
    """Open the reader of untrusted recordings, with the configured limits, and close it on exit.

    Args:
        config: The settings.
        ahead: Start the decoder process now, before the first recording arrives.
    """
    server = config.server
    limits = IntakeLimits(
        max_bytes=int(server.max_upload_megabytes * 2**20), max_seconds=server.max_upload_seconds
    )
    reader = RecordingReader(limits)
    async with reader if ahead else aclosing(reader):
        yield reader


def make_inspector(
    config: Callable[[], QwenTTSConfig], read_samples: ReadSamples, *, max_bytes: int
) -> Inspector:
    """Return what inspects sound files, with the readers that are installed.

    Args:
        config: Returns the current settings.
        read_samples: Decodes files.
        max_bytes: Maximum size of a file in bytes.
    """

    async def read_manifest(data: bytes) -> Manifest | None:
        authorities = await asyncio.to_thread(_authorities, config().marking.trust_list)
        return await IsolatedManifests(authorities).read(data)

    has_c2pa = find_spec("c2pa") is not None
    return Inspector(
        read_tags=read_tags,
        read_manifest=read_manifest if has_c2pa else NotChecked(_NO_C2PA),
        watermark=_detector(),
        read_samples=read_samples,
        max_bytes=max_bytes,
    )


def _detector() -> Watermark | NotChecked:
    reason = perth.missing()
    if reason:
        return NotChecked(f"{reason}: {_PIP.format('watermark')}")
    return perth.PerthWatermark()


def _authorities(file: str | None) -> str:
    """Return the certificates in a trust list; "" if none is configured."""
    if file is None:
        return ""
    key = "tts.qwen.marking.trust_list"
    try:
        text = Path(file).expanduser().read_text("ascii", "replace")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"{key}: {file} cannot be read: {reason}.", key=key, value=file
        ) from None
    found = _CERTIFICATE.findall(text)  # not the private key, if there is one
    if not found:
        raise ConfigurationError(f"{key}: {file} contains no certificate.", key=key, value=file)
    return "\n".join(found)


def make_queue(
    config: QwenTTSConfig, concurrency: Mapping[str, int], *, share: bool = False
) -> DurableQueue:
    """Create the job queue from the settings.

    Args:
        config: The settings.
        concurrency: Maximum concurrent jobs, by backend.
        share: Whether other processes may use the same folder.

    Raises:
        BackendUnavailable: The extra ``server`` is not installed.
    """
    from storycore_tts.adapters.queue import DurableQueue

    server = config.server
    return DurableQueue(
        _state_dir(config, share=share),
        concurrency,
        share=share,
        database_url=server.database_url,
        max_queued=server.max_queued,
        retention_seconds=server.retention_hours * 3600,
        time_limits={
            **dict.fromkeys(JobKind, server.job_seconds),
            JobKind.TRAINING: server.training_seconds,
        },
    )


def withdraw_jobs(config: QwenTTSConfig, revocation: Revocation, recording: bytes) -> Withdrawn:
    """Let the jobs in a revoked voice fail, from a process that runs no service; blocks.

    Args:
        config: The settings, which name the job store.
        revocation: The revocation.
        recording: The file of the recording.

    Raises:
        StorageFailed: The database failed.
    """
    server, folder = config.server, _state_dir(config, share=False)
    if server.database_url is None and not (folder / "store.sqlite").exists():
        return Withdrawn()  # no service has run here
    from storycore_tts.adapters.queue import withdraw_from

    failure = Failure.of(revocation.refusal())
    return withdraw_from(folder, server.database_url, revocation.consent_id, recording, failure)


def _state_dir(config: QwenTTSConfig, *, share: bool) -> Path:
    own = config.server.state_dir
    return Path(own) if own else _usual_folder(share=share)


def _usual_folder(*, share: bool) -> Path:
    """Return the default folder of jobs; apps in the same working directory share one."""
    if not share:
        return user_data() / "service"
    return user_data() / f"app-{sha256(os.fsencode(Path.cwd())).hexdigest()[:16]}"


def _on(config: QwenTTSConfig, backend: str) -> QwenTTSConfig:
    """Return the settings with ``backend`` replaced."""
    if backend == config.backend:
        return config
    return config.model_copy(update={"backend": backend, "rollout": None})


def _places(config: QwenTTSConfig, backend: str) -> int:
    """Return the maximum number of concurrent requests of a backend."""
    usual = config.block(backend, AdapterSettings).max_concurrent
    return config.server.concurrency.get(backend, usual)
