"""The one WebSocket that carries the news of all our jobs on one ComfyUI server.

Events are for progress and for waking up at once; history is the authority for "done". So the
stream may break at any time: it reconnects with growing pauses, and whoever waits asks history.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from storycore_tts.adapters.comfyui.rules import parse_frame
from storycore_tts.adapters.comfyui.waiting import wait_at_most
from storycore_tts.settings import QwenTTSConfig

_log = logging.getLogger(__name__)

_PING_SECONDS = 10.0  # a half-open connection is noticed after twice this; queue polls are faster
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0  # s, before a reconnect

OnFrame = Callable[[str, Mapping[str, Any]], None]


class _SameOriginConnect(connect):
    """A connect that follows no redirect: our headers are for this server only."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class EventStream:
    """Keeps one WebSocket open and hands every frame on.

    Args:
        config: Address and headers of the server.
        tls: What ``tls_context`` made of it.
        on_frame: Called with the type and the data of every frame.
        on_change: Called after each connect and each disconnect.
    """

    def __init__(
        self,
        config: QwenTTSConfig,
        tls: ssl.SSLContext,
        on_frame: OnFrame,
        on_change: Callable[[], None],
    ) -> None:
        self._config = config
        self._tls = tls
        self._on_frame = on_frame
        self._on_change = on_change
        self._settled = asyncio.Event()
        self.client_id = uuid4().hex
        self.connected = False

    async def settle(self, timeout: float) -> None:
        """Wait until the first connection stands or failed, at most ``timeout`` seconds.

        Job frames go only to a socket that is open when the job is submitted.
        """
        if not await wait_at_most(self._settled, timeout):
            _log.warning("no WebSocket to %s yet; asking history instead", self._config.comfyui_url)

    async def run(self) -> None:
        """Read frames until cancelled, reconnecting whenever the connection ends."""
        pause = _FIRST_PAUSE
        while True:
            try:
                async with self._open() as socket:
                    pause = _FIRST_PAUSE
                    self._changed(connected=True)
                    await self._read(socket)
            except (OSError, asyncio.TimeoutError, InvalidHandshake, WebSocketException) as error:
                _log.info("WebSocket to %s ended: %s", self._config.comfyui_url, error)
            finally:
                # A fresh id each time: when the server notices late that an old socket is gone, it
                # also forgets the new one of the same id, which then stays open and deaf for ever.
                self.client_id = uuid4().hex
                self._changed(connected=False)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _open(self) -> connect:
        settings = self._config.comfyui
        scheme, _, rest = self._config.comfyui_url.partition("://")
        secure = scheme == "https"
        return _SameOriginConnect(
            f"{'wss' if secure else 'ws'}://{rest}/ws?{urlencode({'clientId': self.client_id})}",
            additional_headers=settings.headers,
            ssl=self._tls if secure else None,
            open_timeout=settings.timeouts.connect,
            close_timeout=settings.timeouts.cancel,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PING_SECONDS,
            max_size=None,  # a training's validation audio is one frame of megabytes
            compression=None,
        )

    async def _read(self, socket: ClientConnection) -> None:
        async for message in socket:
            frame = parse_frame(message)
            if frame is not None:
                self._on_frame(*frame)

    def _changed(self, *, connected: bool) -> None:
        self.connected = connected
        self._settled.set()
        self._on_change()
