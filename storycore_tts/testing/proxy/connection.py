"""A client connection and the corresponding connection to the server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from .log import Ended, ProxyLog, RequestSeen, Struck
from .requests import Requests
from .rules import Rules, ScriptedRule
from .streams import CutByRule, Stream

CHUNK = 65_536

Address = tuple[socket.AddressFamily, Any]


class Connection:
    """Forwards data between a client and a server until both have finished or a rule breaks it."""

    def __init__(
        self,
        number: int,
        client: socket.socket,
        addresses: Sequence[Address],
        rules: Rules,
        log: ProxyLog,
    ) -> None:
        self._number = number
        self._client = client
        self._server: socket.socket | None = None
        self._addresses = addresses
        self._rules = rules
        self._log = log
        self._request = Stream("request", self.strike)
        self._response = Stream("response", self.strike)

    def strike(self, entry: ScriptedRule) -> bool:
        """Count and log the use of a rule; False if it is no longer active."""
        used = self._rules.use(entry)
        if used:
            self._log.add(Struck(rule=entry.mishap, connection=self._number))
        return used

    def stall(self) -> None:
        """Forward nothing more, in both directions."""
        self._request.open.clear()
        self._response.open.clear()

    def release(self) -> None:
        """Resume stalled data."""
        self._request.open.set()
        self._response.open.set()

    async def run(self) -> None:
        """Forward until the end; cancelling this resets the connection."""
        reset = True
        try:
            await self._forward()
            reset = False
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            self._close(reset)
            self._log.add(Ended(connection=self._number, reset=reset))

    async def _forward(self) -> None:
        await self._request.open.wait()
        server = self._server = await _connected(self._addresses)
        self._request.target, self._response.target = server, self._client
        requests = Requests(
            receive=lambda: _received(self._client),
            send=self._request.send,
            begin=self._begin,
            upgraded=lambda: self._response.opening.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101")),
        )
        try:
            await _together(
                _pumped(requests.forward, self._request),
                _pumped(self._responses, self._response),
            )
        except CutByRule:
            await asyncio.gather(_parted(server), _parted(self._client))

    async def _responses(self) -> None:
        while self._server and (data := await _received(self._server)):
            await self._response.send(data)

    def _begin(self, first_line: bytes) -> None:
        entries = self._rules.for_request(first_line)
        self._request.begin(entries)
        self._response.begin(entries)
        if first_line:
            self._log.add(RequestSeen(first_line=first_line, connection=self._number))

    def _close(self, reset: bool) -> None:
        for side in (self._client, self._server):
            if side is not None:
                close(side, reset=reset)


def close(side: socket.socket, *, reset: bool) -> None:
    """Close a socket; with `reset`, its peer gets "connection reset" instead of an end."""
    if reset:
        # Lingering for zero seconds turns the close into a TCP reset.
        _set(side, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    side.close()


def prepare(side: socket.socket) -> None:
    """Make a socket non-blocking and send data without delay."""
    side.setblocking(False)
    _set(side, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _set(side: socket.socket, level: int, option: int, value: int | bytes) -> None:
    with contextlib.suppress(OSError):  # fails on some systems if the peer has disconnected
        side.setsockopt(level, option, value)


async def _connected(addresses: Sequence[Address]) -> socket.socket:
    """Connect to the first address that accepts; raises OSError if none does."""
    problem = OSError("no address")
    for family, address in addresses:
        server = socket.socket(family, socket.SOCK_STREAM)
        try:
            prepare(server)
            await asyncio.get_running_loop().sock_connect(server, address)
        except OSError as exc:
            server.close()
            problem = exc
        except BaseException:
            server.close()
            raise
        else:
            return server
    raise problem


async def _received(side: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(side, CHUNK)


async def _pumped(pump: Callable[[], Awaitable[None]], stream: Stream) -> None:
    """Run one direction; raises OSError if it broke, after a stall has ended."""
    try:
        await pump()
    except OSError:
        await stream.open.wait()
        raise
    await stream.finish()


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all to their end; the first error cancels the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        # Sockets may be closed only after no task uses them.
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def _parted(side: socket.socket) -> None:
    # Closing a socket with unread data would send a reset, so the data is read first.
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_WR)
        while await _received(side):
            pass
