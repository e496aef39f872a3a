"""Detects the start of each HTTP request in a client's data, and forwards it unchanged."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import NoReturn

REQUEST_LINE = re.compile(rb"[A-Z-]{1,32} \S+ HTTP/1\.[01]\r?\n")
BEGINNING_OF_ONE = re.compile(rb"[A-Z-]{0,32}( \S*( [HTP/1.0\r]{0,9})?)?")
LONGEST_LINE = 65_536


class Requests:
    """The requests of one connection.

    Only the first line of a request is held back until it is complete, since it determines which
    rules apply. Everything else is forwarded immediately. Data that is not HTTP is forwarded
    without inspection.

    Args:
        receive: Returns the next bytes of the client, b"" at the end.
        send: Forwards bytes.
        begin: Called with the first line of each request before it is sent; with an empty line for
            data that is not HTTP.
        upgraded: Returns whether the server has switched to another protocol.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[bytes]],
        send: Callable[[bytes], Awaitable[None]],
        begin: Callable[[bytes], None],
        upgraded: Callable[[], bool],
    ) -> None:
        self._receive = receive
        self._send = send
        self._begin = begin
        self._upgraded = upgraded
        self._held = b""
        self._ready = b""

    async def forward(self) -> None:
        """Forward everything until the client has finished."""
        try:
            while True:
                await self._request()
        except EOFError:
            return

    async def _request(self) -> None:
        if not self._held:
            await self._more()
        if self._upgraded():
            await self._rest()
        line = await self._first_line()
        await self._flush()
        self._begin(line.rstrip(b"\r\n"))
        if not line:
            await self._rest()
        await self._pass(len(line))
        try:
            await self._head_and_body()
        except ValueError:  # no valid length: the start of the next request is unknown
            await self._rest()

    async def _first_line(self) -> bytes:
        """Return the first line without sending it; empty if this is not a request."""
        try:
            while b"\n" not in self._held:
                if len(self._held) > LONGEST_LINE or not BEGINNING_OF_ONE.fullmatch(self._held):
                    return b""
                await self._more()
        except EOFError:
            return b""
        found = REQUEST_LINE.match(self._held)
        return found.group() if found else b""

    async def _head_and_body(self) -> None:
        length, chunked = 0, False
        while line := (await self._pass_line()).strip().lower():
            name, _, value = line.partition(b":")
            if name == b"content-length":
                length = _number(value.strip(), 10)
            elif name == b"transfer-encoding":
                chunked = value.strip().endswith(b"chunked")
        await (self._chunks() if chunked else self._pass(length))

    async def _chunks(self) -> None:
        size = None
        while size != 0:
            line = await self._pass_line()
            size = _number(line.partition(b";")[0].strip(), 16)
            await self._pass(size)
            if size and (await self._pass_line()).strip():
                raise ValueError("a chunk is longer than it says")
        while (await self._pass_line()).strip():
            pass  # trailers

    # Bytes

    async def _more(self) -> None:
        """Send pending bytes and wait for more; raises EOFError at the end."""
        await self._flush()
        data = await self._receive()
        if not data:
            raise EOFError
        self._held += data

    async def _pass(self, size: int) -> None:
        """Forward a number of bytes as they arrive."""
        while size:
            if not self._held:
                await self._more()
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            self._ready += piece

    async def _flush(self) -> None:
        ready, self._ready = self._ready, b""
        if ready:
            await self._send(ready)

    async def _pass_line(self) -> bytes:
        """Forward bytes up to the end of the line; return the line."""
        line = b""
        while not line.endswith(b"\n"):
            if not self._held:
                await self._more()
            end = self._held.find(b"\n") + 1 or len(self._held)
            line += self._held[:end]
            await self._pass(end)
        return line

    async def _rest(self) -> NoReturn:
        """Forward everything until EOFError is raised."""
        while True:
            await self._pass(len(self._held))
            await self._more()


def _number(text: bytes, base: int) -> int:
    # int() would accept signs and underscores.
    if not text.isalnum():
        raise ValueError(f"not a number: {text!r}")
    return int(text, base)
