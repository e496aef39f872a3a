"""The WebSocket for the events of all jobs on a ComfyUI server.

Events provide progress and fast reactions; history decides whether a job is done. The connection
may therefore break at any time: it is reopened with increasing pauses, while jobs poll history.
HTTP requests detect when an unreachable server is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode
from uuid import uuid4

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.adapters.comfyui.protocol.messages import parse_frame
from storycore_tts.adapters.comfyui.transport.reachability import ReachabilityCache
from storycore_tts.concurrency.waiting import unbroken, wait_at_most
from storycore_tts.domain.logs import log_event
from storycore_tts.settings import QwenTTSConfig

_log = logging.getLogger(__name__)

_PING_SECONDS = 10.0  # half-open connections are detected after twice this time
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0  # s, before a reconnect
_LARGEST_FRAME = 64 * 2**20  # bytes; validation audio of a training is a frame of megabytes

# ImportError: a SOCKS proxy is configured, but the package for it is not installed.
_NO_STREAM = (OSError, asyncio.TimeoutError, InvalidHandshake, WebSocketException, ImportError)

OnFrame = Callable[[str, Mapping[str, Any]], None]


class Socket(Protocol):
    """The required interface of a WebSocket connection."""

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield messages until the connection ends."""

    async def close(self) -> None:
        """Close the connection."""


OpenSocket = Callable[[str], Awaitable[Socket]]
"""Opens a WebSocket for a client id."""


class _SameOriginConnect(connect):
    """A connect that follows no redirects, since the headers are for this server only."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class EventStream:
    """Keeps a WebSocket open and passes on its frames.

    Args:
        config: Settings with URL and headers of the server.
        tls: Result of ``tls_context``.
        reachability: Whether the server is reachable by HTTP.
        on_frame: Called with the type and the data of each frame.
        on_change: Called after each connect and disconnect.
        open_socket: Opens the connection; replaced in tests.
    """

    def __init__(
        self,
        config: QwenTTSConfig,
        tls: ssl.SSLContext,
        reachability: ReachabilityCache,
        on_frame: OnFrame,
        on_change: Callable[[], None],
        open_socket: OpenSocket | None = None,
    ) -> None:
        self._config = config
        self._tls = tls
        self._reachability = reachability
        self._on_frame = on_frame
        self._on_change = on_change
        self._open = open_socket or self._connect
        self._settled = asyncio.Event()
        self.client_id = uuid4().hex
        self.connected = False

    async def settle(self, timeout: float) -> None:
        """Wait until the first connection was opened or has failed, at most ``timeout`` seconds.

        Events of a job are sent only to a socket that is open when the job is submitted.
        """
        if not await wait_at_most(self._settled, timeout):
            self._log_event(logging.WARNING, "websocket.missing")

    async def run(self) -> None:
        """Read frames until cancelled; reconnect whenever the connection ends."""
        pause, hurried = _FIRST_PAUSE, False
        clock = asyncio.get_running_loop().time
        while True:
            began, why = clock(), "the server closed it"
            try:
                socket = await self._open(self.client_id)
                try:
                    self._changed(connected=True)
                    await self._read(socket)
                finally:
                    await unbroken(socket.close())
            except _NO_STREAM as error:
                why = str(error) or type(error).__name__
            finally:
                # A new id each time: when the server notices late that an old socket is closed, it
                # also drops the new socket of the same id, which would then receive nothing.
                self.client_id = uuid4().hex
                self._changed(connected=False, why=why)
            if clock() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            hurried = await self._rest(pause * random.uniform(0.5, 1.0), hurried=hurried)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _rest(self, seconds: float, *, hurried: bool) -> bool:
        """Wait before the next attempt; return whether an HTTP response shortened the wait.

        After such a shortened wait, the next one is not shortened: HTTP works, but the WebSocket
        does not.
        """
        answered = self._reachability.answered
        if hurried:
            await asyncio.sleep(seconds)
            hurry = False
        else:
            answered.clear()
            hurry = await wait_at_most(answered, seconds)
        if not self._reachability.reachable.is_set():
            await self._reachability.reachable.wait()
            hurry = True
        return hurry

    def _connect(self, client_id: str) -> connect:
        settings = self._config.comfyui
        scheme, _, rest = self._config.comfyui_url.partition("://")
        secure = scheme == "https"
        return _SameOriginConnect(
            f"{'wss' if secure else 'ws'}://{rest}/ws?{urlencode({'clientId': client_id})}",
            additional_headers=settings.headers,
            ssl=self._tls if secure else None,
            open_timeout=settings.timeouts.connect,
            close_timeout=settings.timeouts.cancel,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_SECONDS,
            max_size=_LARGEST_FRAME,
            compression=None,
        )

    async def _read(self, socket: Socket) -> None:
        async for message in socket:
            frame = parse_frame(message)
            if frame is not None:
                self._on_frame(*frame)

    def _changed(self, *, connected: bool, why: str | None = None) -> None:
        if connected:
            self._log_event(logging.INFO, "websocket.connected")
        elif self.connected:
            self._log_event(logging.INFO, "websocket.closed", why=why)
        else:
            self._log_event(logging.INFO, "websocket.failed", why=why)
        self.connected = connected
        self._settled.set()
        self._on_change()

    def _log_event(self, level: int, event: str, *, why: str | None = None) -> None:
        log_event(_log, level, event, backend=BACKEND, server=self._config.comfyui_url, why=why)
