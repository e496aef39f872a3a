"""One event loop's connection to one server: HTTP, the event stream, and the jobs that wait.

Everything that must be closed belongs to one task of the loop. ``asyncio.run`` cancels that task
when it ends, so that a program that forgets ``aclose`` leaks nothing.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from storycore_tts.adapters.comfyui.events import EventStream
from storycore_tts.adapters.comfyui.failures import closed_error
from storycore_tts.adapters.comfyui.http_errors import BACKEND
from storycore_tts.adapters.comfyui.nodes import NodeSpec
from storycore_tts.adapters.comfyui.rules import TRAINING_UPDATE, QueueSnapshot
from storycore_tts.adapters.comfyui.transport import ComfyUITransport, ServerInfo
from storycore_tts.adapters.comfyui.waiting import wait_at_most
from storycore_tts.domain.errors import TTSError
from storycore_tts.domain.logs import log_event
from storycore_tts.settings import QwenTTSConfig

_log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0  # s between looks at the queue while jobs wait and the events flow
_LOOK_WHILE_AWAY = 1.0  # s; a server that is back is found soon
_LOOK_AT_MOST_EVERY = 0.5  # s; the server sends a status frame at every change of its queue


@dataclass(eq=False)
class WatchedJob:
    """A job that somebody waits for, and the news of it that nobody has read yet.

    Args:
        prompt_id: Ours until the server answers with one of its own.
        node_id: Node whose broadcasts, which name no prompt, belong to this job.
        submission: Stands for the submission that the server took, while it has one: a queue that
            is asked for from now on, and lacks the job, means something. Each has its own.
        frames: Type and data of its events.
        queue: The last look at the queue that nobody has read yet.
        away_since: When the server stopped answering, in the loop's time; None while it answers.
        away_error: What the last attempt to reach it said.
        news: Set whenever one of these changes.
    """

    prompt_id: str
    node_id: str
    submission: object | None = None
    frames: deque[tuple[str, Mapping[str, Any]]] = field(default_factory=deque)
    queue: QueueSnapshot | None = None
    away_since: float | None = None
    away_error: TTSError | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Session:
    """What all calls on one event loop share.

    Args:
        config: Address, headers and time limits of the server.
        tls: What ``tls_context`` made of it.

    Raises:
        ConfigurationError: Connection settings that cannot be used.
    """

    def __init__(self, config: QwenTTSConfig, tls: ssl.SSLContext) -> None:
        self.config = config
        self.transport = ComfyUITransport(config, tls)
        self.stream = EventStream(
            config, tls, self.transport.reach, self._on_frame, self._stream_changed
        )
        self._jobs: set[WatchedJob] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._next: asyncio.Future[QueueSnapshot] | None = None  # what those who ask now will get
        self._breaks = 0
        self.away = False  # nobody answered the last look at the queue
        self._stop = asyncio.Event()
        self.closed = False
        self._server: ServerInfo | None = None
        self._specs: dict[str, NodeSpec] = {}
        self._owner = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        """Close the socket and all connections; jobs that still wait fail."""
        self._stop.set()
        await asyncio.wait([self._owner])

    async def server(self) -> ServerInfo:
        """Say who answers there; asked once.

        Raises:
            BackendUnavailable: Nobody, or no ComfyUI.
        """
        if self._server is None:
            self._server = await self.transport.server_info()
        return self._server

    async def spec(self, class_type: str) -> NodeSpec:
        """Return what a node takes, as this server says; asked once until the stream breaks.

        Raises:
            NodePackMissing: The server has no such node.
        """
        if class_type not in self._specs:
            await self.server()  # a server that is no ComfyUI must not look like a missing node
            info = await self.transport.node_info(class_type)
            self._specs[class_type] = NodeSpec.read(class_type, info)
        return self._specs[class_type]

    @contextmanager
    def watching(self, job: WatchedJob) -> Iterator[None]:
        """Collect the news of a job; to be entered before the job is submitted."""
        self._jobs.add(job)
        self.look_soon()
        try:
            yield
        finally:
            self._jobs.discard(job)

    def look_soon(self) -> None:
        """Look at the queue as soon as the last look is not too fresh."""
        self._look.set()

    async def next_look(self) -> QueueSnapshot:
        """Return the next look at the queue; all who ask meanwhile share it.

        Only for those who watch a job: without one, nobody looks.

        Raises:
            TTSError: The server does not answer, or we were closed.
        """
        if self.closed:
            raise closed_error()
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        self._look.set()
        try:
            return await asyncio.shield(self._next)
        except TTSError as error:
            raise copy(error) from error  # one for each who asks: they judge it for themselves

    def seen_up(self) -> int | None:
        """Return a number that changes when the server may have gone; None: it cannot be told.

        While the number stays the same, the server was there all the time: the WebSocket was
        connected without a break, and no look at the queue failed.
        """
        return self._breaks if self.stream.connected else None

    def in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something to its end, or to ours, whether anybody waits for it or not."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _run(self) -> None:
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(self.stream.run()),
            asyncio.create_task(self._watch_queue()),
        ]
        try:
            # The two helpers never return: when one ends, it is by a mistake of ours, to be seen.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks += self._background
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.transport.aclose()
            self.closed = True
            _refuse(self._next, closed_error())
            for job in self._jobs:
                job.news.set()

    def _on_frame(self, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "status":
            self.look_soon()
            return
        prompt_id = data.get("prompt_id")
        for job in self._jobs:
            mine = prompt_id == job.prompt_id
            if mine or (kind == TRAINING_UPDATE and data.get("node") == job.node_id):
                job.frames.append((kind, data))
                job.news.set()

    def _stream_changed(self) -> None:
        if not self.stream.connected:
            self._breaks += 1
            self._specs.clear()  # a server that restarted may have other nodes
            self._server = None
        self.look_soon()

    async def _watch_queue(self) -> None:
        """Look at the queue for all jobs at once: often after news, now and then without."""
        while True:
            await wait_at_most(self._look, _LOOK_WHILE_AWAY if self.away else _LOOK_EVERY)
            self._look.clear()
            if self._jobs:
                await self._look_at_queue()
                await asyncio.sleep(_LOOK_AT_MOST_EVERY)

    async def _look_at_queue(self) -> None:
        # Only those that were in the queue before we ask can be missed in the answer.
        before = [(job, job.submission) for job in self._jobs if job.submission is not None]
        asked, self._next = self._next, None
        try:
            snapshot = await self.transport.queue()
        except TTSError as error:
            self._breaks += 1
            _refuse(asked, error)
            self._went_away(error, _still_so(before))
        else:
            self._came_back()
            if asked is not None:
                asked.set_result(snapshot)
            for job in _still_so(before):
                job.queue, job.away_since, job.away_error = snapshot, None, None
                job.news.set()
        finally:
            _refuse(asked, closed_error())

    def _went_away(self, error: TTSError, watched: list[WatchedJob]) -> None:
        if not self.away:
            self._say(logging.WARNING, "server.away", error=type(error).__name__)
        self.away = True
        now = asyncio.get_running_loop().time()
        for job in watched:
            job.away_since = job.away_since or now
            job.away_error = error
            job.news.set()

    def _came_back(self) -> None:
        if self.away:
            self._say(logging.INFO, "server.back")
        self.away = False

    def _say(self, level: int, event: str, **fields: object) -> None:
        log_event(_log, level, event, backend=BACKEND, server=self.config.comfyui_url, **fields)


def _still_so(before: list[tuple[WatchedJob, object]]) -> list[WatchedJob]:
    """Return the jobs that were not submitted again while the server was asked."""
    return [job for job, submission in before if job.submission is submission]


def _refuse(asked: asyncio.Future[QueueSnapshot] | None, error: TTSError) -> None:
    """Tell those who asked for a look, if they have no answer yet, that there is none."""
    if asked is not None and not asked.done():
        asked.set_exception(error)
        asked.exception()  # they may all have left meanwhile: that is no mistake
