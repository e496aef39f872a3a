"""Helpers for ASGI ``send`` callables."""

from __future__ import annotations

import anyio
from starlette.types import Message, Send

SLOWEST_READER = 60.0
"""Maximum seconds that a client may stop reading a stream, since it blocks others."""


class Sending:
    """Passes on a response and records whether it has started.

    Args:
        send: The wrapped ``send``.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        """Pass on a message."""
        self.begun = True
        await self._send(message)


def within(seconds: float, send: Send) -> Send:
    """Return a ``send`` with a timeout for clients that stop reading.

    Args:
        seconds: Maximum time per message; then ``TimeoutError`` is raised.
        send: The wrapped ``send``.
    """

    async def send_in_time(message: Message) -> None:
        with anyio.fail_after(seconds):
            await send(message)

    return send_in_time
