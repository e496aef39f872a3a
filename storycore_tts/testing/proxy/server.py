"""The proxy, in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .connection import Address, Connection, close, prepare
from .log import Accepted, ProxyLog
from .rules import Refuse, Rule, Rules, ScriptedRule, StallConnect

HOST = "127.0.0.1"
CALL_TIMEOUT = 10.0
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class FaultyProxy:
    """A proxy in front of a server, on a free loopback port.

        with FaultyProxy(server.url) as proxy:
            proxy.add(Reset(request=b"POST /prompt"))
            ...  # talk to proxy.url

    `add` adds scripted faults, `log` is the log.

    Args:
        upstream: URL of the server; `tcp://host:port` for protocols other than HTTP.

    Raises:
        ValueError: The URL has no host, or its port is unknown.
        OSError: The host name cannot be resolved.
    """

    def __init__(self, upstream: str) -> None:
        self.log = ProxyLog()
        self._rules = Rules()
        self._upstream = urlsplit(upstream)
        self._addresses = _addresses(self._upstream)
        self._down = False
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._open: dict[asyncio.Task[None], Connection] = {}

    @property
    def url(self) -> str:
        """URL of the proxy, with the scheme and path of the upstream, without a trailing slash."""
        return f"{self._upstream.scheme}://{HOST}:{self.port}{self._upstream.path.rstrip('/')}"

    @property
    def port(self) -> int:
        """The port; known after the proxy was started."""
        if not self._port:
            raise RuntimeError("the proxy has not been started")
        return self._port

    @property
    def connections(self) -> int:
        """Number of accepted connections, including those that were reset immediately."""
        return len(self.log.of(Accepted))

    # The script

    def add(self, *rules: Rule) -> None:
        """Append rules to the script."""
        self._rules.add(*rules)

    def remove(self, rule: Rule) -> None:
        """Remove a rule from the script, if it is still there."""
        self._rules.remove(rule)

    def clear(self) -> None:
        """Remove all rules; stalled connections stay stalled until `release`."""
        self._rules.clear()

    @property
    def pending(self) -> list[Rule]:
        """Rules that are still to be applied."""
        return self._rules.pending

    # All connections at once

    def down(self) -> None:
        """Simulate a dead server: reset all current and new connections until `up`."""

        async def go_down() -> None:
            self._down = True
            await self._reset_all()

        self._call(go_down())

    def up(self) -> None:
        """Accept connections again."""
        self._down = False

    def half_open(self) -> None:
        """Silently stop forwarding on existing connections; new ones work."""

        async def stall() -> None:
            for connection in self._open.values():
                connection.stall()

        self._call(stall())

    def release(self) -> None:
        """Resume everything that is stalled."""

        async def release() -> None:
            for connection in self._open.values():
                connection.release()

        self._call(release())

    def retarget(self, upstream: str) -> None:
        """Connect new clients to another server; only its host and port are used.

        Args:
            upstream: URL of the server.

        Raises:
            ValueError: The URL has no host, or its port is unknown.
            OSError: The host name cannot be resolved.
        """
        self._addresses = _addresses(urlsplit(upstream))

    # Life

    def start(self) -> None:
        """Start listening."""
        if self._thread is not None:
            raise RuntimeError("the proxy is running already")
        listener = socket.create_server((HOST, 0))
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        self._stopping = asyncio.Event()
        # The default loop of Windows does not support readers.
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, listener), name="faulty-proxy", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and reset all connections."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._loop = None

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the proxy's thread and wait for it."""
        if self._loop is None:
            work.close()
            raise RuntimeError("the proxy is not running")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT)

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        with contextlib.closing(loop), listener:
            loop.add_reader(listener, self._accept, loop, listener)
            loop.run_until_complete(self._until_stopped(loop, listener))

    async def _until_stopped(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket
    ) -> None:
        await self._stopping.wait()
        loop.remove_reader(listener)
        await self._reset_all()

    async def _reset_all(self) -> None:
        # A task that is cancelled before it starts would not close its sockets.
        await asyncio.sleep(0)
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # the client has already disconnected
            return
        prepare(client)
        number = self.connections + 1
        self.log.add(Accepted(connection=number))
        connection = Connection(number, client, self._addresses, self._rules, self.log)
        rule = None if self._down else self._struck(connection)
        if self._down or isinstance(rule, Refuse):
            close(client, reset=True)
            return
        if isinstance(rule, StallConnect):
            connection.stall()
        task = loop.create_task(connection.run())
        self._open[task] = connection
        task.add_done_callback(self._open.pop)

    def _struck(self, connection: Connection) -> Rule | None:
        entries: list[ScriptedRule] = self._rules.for_connection()
        return next((entry.mishap for entry in entries if connection.strike(entry)), None)

    def __enter__(self) -> FaultyProxy:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _addresses(upstream: SplitResult) -> list[Address]:
    port = upstream.port or PORTS.get(upstream.scheme)
    if not upstream.hostname or not port:
        raise ValueError(f"no host and port in {upstream.geturl()!r}")
    found = socket.getaddrinfo(upstream.hostname, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]
