"""Answers on their way."""

from __future__ import annotations

import anyio
from starlette.types import Message, Send

SLOWEST_READER = 60.0
"""Seconds in which a client may take nothing of a stream; longer, and it holds up others."""


class Sending:
    """Passes an answer on, and knows whether it has begun: then no other one can be sent.

    Args:
        send: Where it goes.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        """Pass a piece on."""
        self.begun = True
        await self._send(message)


def within(seconds: float, send: Send) -> Send:
    """Return a ``send`` that gives up on a client that takes nothing.

    Args:
        seconds: How long one message may take; then ``TimeoutError`` is raised.
        send: Where messages go.
    """

    async def send_in_time(message: Message) -> None:
        with anyio.fail_after(seconds):
            await send(message)

    return send_in_time
