"""One direction of a connection, and the rules that apply to it."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable, Iterable
from operator import itemgetter

from .rules import Corrupt, Cut, Direction, Reset, ScriptedRule, Slow, Stall, StreamRule

TICK = 0.02
"""Seconds between pieces of a slow message."""
STATUS_BYTES = len(b"HTTP/1.1 101")
FLIPPED = bytes(255 - byte for byte in range(256))


class CutByRule(Exception):
    """A rule requires both sides to be closed normally."""


class Message:
    """A request or a response that is being forwarded."""

    def __init__(self, direction: Direction, entries: Iterable[ScriptedRule] = ()) -> None:
        self.opening = b""
        """The first bytes, from which a switch to the WebSocket protocol is detected."""
        self.passed = 0
        self.bytes_per_second = math.inf
        self._corrupt_up_to: float = 0
        places = [
            (entry.mishap.after_bytes, entry)
            for entry in entries
            if isinstance(entry.mishap, StreamRule) and entry.mishap.direction == direction
        ]
        self._waiting = sorted(places, key=itemgetter(0))

    def due(self) -> ScriptedRule | None:
        """Return the next rule whose position was reached, once."""
        if self._waiting and self._waiting[0][0] <= self.passed:
            return self._waiting.pop(0)[1]
        return None

    def slice(self, data: bytes) -> bytes:
        """Return as much of the data as may be sent now, and count it as sent."""
        size = min(len(data), max(1, self.bytes_per_second * TICK))
        if self._waiting:
            size = min(size, self._waiting[0][0] - self.passed)
        piece = self._spoilt(data[: int(size)])
        self.passed += len(piece)
        return piece

    def corrupt(self, length: int | None) -> None:
        """Flip the bits of the following data."""
        self._corrupt_up_to = math.inf if length is None else self.passed + length

    def _spoilt(self, piece: bytes) -> bytes:
        wrong = int(min(len(piece), max(0, self._corrupt_up_to - self.passed)))
        return piece[:wrong].translate(FLIPPED) + piece[wrong:]


class Stream:
    """Sends the data of one direction to its target, and applies rules.

    `use` counts the use of a rule and returns whether it is still active.
    """

    def __init__(self, direction: Direction, use: Callable[[ScriptedRule], bool]) -> None:
        self.direction = direction
        self.target: socket.socket | None = None
        self.open = asyncio.Event()
        """Cleared while stalled."""
        self.open.set()
        self._message = Message(direction)
        self._use = use

    @property
    def opening(self) -> bytes:
        """The first bytes of the current message."""
        return self._message.opening

    def begin(self, entries: Iterable[ScriptedRule]) -> None:
        """Start the next message, to which these rules may apply."""
        self._message = Message(self.direction, entries)

    async def send(self, data: bytes) -> None:
        """Forward bytes of the current message.

        Raises:
            CutByRule: A rule requires both sides to be closed.
            OSError: The target has disconnected, or a rule requires both sides to be reset.
        """
        # The next message may start while this piece of the last one is still being sent.
        message = self._message
        if len(message.opening) < STATUS_BYTES:
            message.opening += data[:STATUS_BYTES]
        self._strike(message)
        while data:
            await self.open.wait()
            piece = message.slice(data)
            data = data[len(piece) :]
            await self._put(piece)
            self._strike(message)
            await asyncio.sleep(len(piece) / message.bytes_per_second)

    async def finish(self) -> None:
        """Signal the end of the data to the target."""
        await self.open.wait()
        if self.target is not None:
            self.target.shutdown(socket.SHUT_WR)

    async def _put(self, piece: bytes) -> None:
        if self.target is not None:
            await asyncio.get_running_loop().sock_sendall(self.target, piece)

    def _strike(self, message: Message) -> None:
        while entry := message.due():
            if not self._use(entry):
                continue
            match entry.mishap:
                case Cut():
                    raise CutByRule
                case Reset():
                    raise ConnectionResetError("reset by a rule")
                case Stall():
                    self.open.clear()
                case Slow(bytes_per_second=pace):
                    message.bytes_per_second = pace
                case Corrupt(length=length):
                    message.corrupt(length)
