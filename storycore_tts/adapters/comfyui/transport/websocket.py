"""The one WebSocket that carries the news of all our jobs on one ComfyUI server.

Events are for progress and for waking up at once; history is the authority for "done". So the
stream may break at any time: it reconnects with growing pauses, and whoever waits asks history.
It leaves it to HTTP to find out when a server that is down is back.
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

_PING_SECONDS = 10.0  # a half-open connection is noticed after twice this; queue polls are faster
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0  # s, before a reconnect
_LARGEST_FRAME = 64 * 2**20  # bytes; a training's validation audio is one frame of megabytes

# ImportError: a SOCKS proxy in the environment, without the package for it.
_NO_STREAM = (OSError, asyncio.TimeoutError, InvalidHandshake, WebSocketException, ImportError)

OnFrame = Callable[[str, Mapping[str, Any]], None]


class Socket(Protocol):
    """What is needed of a WebSocket connection."""

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield messages until the connection ends."""

    async def close(self) -> None:
        """Close the connection."""


OpenSocket = Callable[[str], Awaitable[Socket]]
"""Opens a WebSocket for a client id."""


class _SameOriginConnect(connect):
    """A connect that follows no redirect: our headers are for this server only."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class EventStream:
    """Keeps one WebSocket open and hands every frame on.

    Args:
        config: Address and headers of the server.
        tls: What ``tls_context`` made of it.
        reachability: Whether HTTP reaches the server.
        on_frame: Called with the type and the data of every frame.
        on_change: Called after each connect and each disconnect.
        open_socket: Opens the connection; to be replaced in tests.
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
        """Wait until the first connection stands or failed, at most ``timeout`` seconds.

        Job frames go only to a socket that is open when the job is submitted.
        """
        if not await wait_at_most(self._settled, timeout):
            self._say(logging.WARNING, "websocket.missing")

    async def run(self) -> None:
        """Read frames until cancelled, reconnecting whenever the connection ends."""
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
                # A fresh id each time: when the server notices late that an old socket is gone, it
                # also forgets the new one of the same id, which then stays open and deaf for ever.
                self.client_id = uuid4().hex
                self._changed(connected=False, why=why)
            if clock() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            hurried = await self._rest(pause * random.uniform(0.5, 1.0), hurried=hurried)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _rest(self, seconds: float, *, hurried: bool) -> bool:
        """Wait before the next attempt; tell whether an answer to HTTP cut that short.

        An attempt that was made for such an answer, and failed, waits in full: there HTTP works,
        and the WebSocket does not.
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
            self._say(logging.INFO, "websocket.connected")
        elif self.connected:
            self._say(logging.INFO, "websocket.closed", why=why)
        else:
            self._say(logging.INFO, "websocket.failed", why=why)
        self.connected = connected
        self._settled.set()
        self._on_change()

    def _say(self, level: int, event: str, *, why: str | None = None) -> None:
        log_event(_log, level, event, backend=BACKEND, server=self._config.comfyui_url, why=why)
