"""Answers on their way."""

from __future__ import annotations

from starlette.types import Message, Send


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
