"""The connection of one event loop to one server: HTTP, event stream and running jobs.

Everything that must be closed belongs to one task. ``asyncio.run`` cancels that task when it ends,
so that programs that forget ``aclose`` leave no connections or jobs behind.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import httpx

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.failures import closed_error
from storycore_tts.adapters.comfyui.protocol.installed import (
    MODEL_FOLDER,
    InstalledModels,
    names_of_files,
)
from storycore_tts.adapters.comfyui.protocol.job import JobMachine
from storycore_tts.adapters.comfyui.protocol.messages import TRAINING_UPDATE
from storycore_tts.adapters.comfyui.protocol.nodes import (
    OTHER_PACKS,
    NodeSpec,
    missing_node_error,
)
from storycore_tts.adapters.comfyui.transport.http import ComfyUIHTTP, ServerInfo
from storycore_tts.adapters.comfyui.transport.websocket import EventStream, OpenSocket
from storycore_tts.concurrency.lookups import Lookups
from storycore_tts.concurrency.waiting import unbroken, wait_at_most
from storycore_tts.domain.logs import log_event
from storycore_tts.errors import TTSError
from storycore_tts.settings import QwenTTSConfig

_log = logging.getLogger(__name__)

_MODELS = f"/models/{MODEL_FOLDER}"

# s between polls of the queue, which are shared by all jobs
_POLL_EVERY = 2.0  # while jobs are running
_POLL_WHILE_AWAY = 1.0  # while the server is unreachable
_POLL_AFTER_NEWS = 0.25  # after a change; most short jobs end earlier and need no poll
_POLL_AT_MOST_EVERY = 0.5  # since the server sends a status event at each change of its queue


class JobSubscription(Protocol):
    """A job to which a session passes events and queue snapshots; see ``runner.JobRunner``."""

    machine: JobMachine

    def notify(self, method: Callable[..., None], *what: object) -> None:
        """Call a method of the state machine with the given arguments and the current time."""

    def abandon(self) -> None:
        """Stop immediately."""


class Session:
    """State shared by all calls on one event loop.

    Args:
        config: Settings with URL, headers and timeouts of the server.
        tls: Result of ``tls_context``.
        on_closed: Called once, when everything is closed.
        transport: HTTP transport, for tests.
        open_socket: Opens the WebSocket, for tests.

    Raises:
        ConfigurationError: The connection settings are invalid.
    """

    def __init__(
        self,
        config: QwenTTSConfig,
        tls: ssl.SSLContext,
        *,
        on_closed: Callable[[], object],
        transport: httpx.AsyncBaseTransport | None = None,
        open_socket: OpenSocket | None = None,
    ) -> None:
        self.config = config
        self.http = ComfyUIHTTP(config, tls, transport)
        self.stream = EventStream(
            config,
            tls,
            self.http.reachability,
            self._on_frame,
            self._stream_changed,
            open_socket,
        )
        self.lookups = Lookups(closed_error)
        self.breaks = 0  # number of disconnects of the event stream, for instance by restarts
        self.in_memory: object = None  # key of the model that was used last
        self.not_downloaded: set[str] = set()  # missing models whose download failed
        self.checkpoints: dict[str, bool] = {}  # whether they exist, according to the server's log
        self.closing = False
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._jobs: set[JobSubscription] = set()
        self._background: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()  # no job is running
        self._idle.set()
        self._is_away = False  # the last poll of the queue failed
        self._poll_at = 0.0
        self._poll_changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._owner = self._loop.create_task(self._run())

    async def aclose(self) -> None:
        """Withdraw all jobs and close all connections; running calls fail."""
        self._stop.set()
        await asyncio.wait([self._owner])

    async def server(self) -> ServerInfo:
        """Return information about the server; cached.

        Raises:
            BackendUnavailable: The server is unreachable or is not ComfyUI.
        """
        return await self.lookups.get("/system_stats", self.http.server_info)

    async def spec(self, class_type: str) -> NodeSpec:
        """Return the inputs of a node on this server; cached until the event stream disconnects.

        Args:
            class_type: Class of the node.

        Raises:
            NodePackMissing: The server has no such node.
        """

        async def ask() -> NodeSpec:
            await self.server()  # fails if it is not ComfyUI; otherwise a node is missing
            info = await self.http.node_info(class_type)
            if info is None:
                raise missing_node_error(class_type, await self._other_packs())
            return NodeSpec.read(class_type, info)

        return await self.lookups.get(f"/object_info/{class_type}", ask)

    async def _other_packs(self) -> list[str]:
        """Return installed node packs for Qwen3-TTS that this adapter does not support."""
        return [
            pack
            for class_type, pack in OTHER_PACKS.items()
            if await self.http.node_info(class_type) is not None
        ]

    async def installed(self) -> InstalledModels:
        """Return the installed models, as far as the server reports them; cached."""

        async def ask() -> InstalledModels:
            files = names_of_files(await self.http.told(_MODELS))
            if files is None:
                return InstalledModels(None)
            # The node pack searches this folder, too.
            others = names_of_files(await self.http.told("/models/TTS")) or frozenset()
            return InstalledModels(files | others)

        return await self.lookups.get(_MODELS, ask)

    def forget_installed(self) -> None:
        """Drop the cached list of installed models."""
        self.lookups.forget(_MODELS)

    @contextmanager
    def following(self, job: JobSubscription) -> Iterator[None]:
        """Pass events and queue snapshots to a job."""
        self._jobs.add(job)
        self._idle.clear()
        self.poll_queue(_POLL_AFTER_NEWS)
        try:
            yield
        finally:
            self._jobs.discard(job)
            if not self._jobs:
                self._idle.set()

    def adopt(self, task: asyncio.Task[None]) -> None:
        """Cancel a background task when the session is closed."""
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def poll_queue(self, within: float = 0.0) -> None:
        """Poll the queue within some seconds, unless it was polled just now."""
        at = self._loop.time() + within
        if at < self._poll_at:
            self._poll_at = at
            self._poll_changed.set()

    async def _run(self) -> None:
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(self.stream.run()),
            asyncio.create_task(self._watch_queue()),
        ]
        try:
            # The other two never return; if one ends, it is by a bug, whose exception is raised.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await unbroken(self._close(tasks))

    async def _close(self, tasks: list[asyncio.Task[Any]]) -> None:
        self.closing = True
        for job in tuple(self._jobs):
            job.notify(job.machine.close)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._jobs_left(), return_exceptions=True)
        for task in self._background:
            task.cancel()
        await self.http.aclose()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._on_closed()

    async def _jobs_left(self) -> None:
        """Wait until all jobs are withdrawn, for at most ``timeouts.cancel``."""
        await wait_at_most(self._idle, self.config.comfyui.timeouts.cancel)
        for job in tuple(self._jobs):
            job.abandon()

    def _on_frame(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "status":
            self.poll_queue(_POLL_AFTER_NEWS)
            return
        prompt_id, node = data.get("prompt_id"), data.get("node")
        for job in self._jobs:
            is_broadcast = kind == TRAINING_UPDATE and node == job.machine.plan.node_id
            if is_broadcast or prompt_id == job.machine.prompt_id:
                job.notify(job.machine.event, kind, data)

    def _stream_changed(self) -> None:
        if not self.stream.connected:  # after a restart of the server, nothing cached is valid
            self.lookups.forget()
            self.breaks += 1
            self.in_memory = None
            self.not_downloaded.clear()
            self.checkpoints.clear()
        for job in self._jobs:
            job.machine.stream_changed(connected=self.stream.connected)
        self.poll_queue()

    async def _watch_queue(self) -> None:
        last = -_POLL_AT_MOST_EVERY
        while True:
            delay = max(self._poll_at, last + _POLL_AT_MOST_EVERY) - self._loop.time()
            if delay > 0:
                await wait_at_most(self._poll_changed, delay)
                self._poll_changed.clear()
                continue
            self._poll_at = self._loop.time() + _POLL_EVERY
            if self._jobs:
                await self._poll()
                last = self._loop.time()
                self._poll_at = min(
                    self._poll_at, last + (_POLL_WHILE_AWAY if self._is_away else _POLL_EVERY)
                )

    async def _poll(self) -> None:
        asked_at = self._loop.time()
        try:
            snapshot = await self.http.queue()
        except TTSError as error:
            self._log_availability(away=True, error=type(error).__name__)
            for job in tuple(self._jobs):
                job.notify(job.machine.queue_failed, error, asked_at)
        else:
            self._log_availability(away=False)
            for job in tuple(self._jobs):
                job.notify(job.machine.queue_answered, snapshot, asked_at)

    def _log_availability(self, *, away: bool, **fields: object) -> None:
        if away is not self._is_away:
            level, event = (logging.WARNING, "away") if away else (logging.INFO, "back")
            server = self.config.comfyui_url
            log_event(_log, level, f"server.{event}", backend=BACKEND, server=server, **fields)
        self._is_away = away
