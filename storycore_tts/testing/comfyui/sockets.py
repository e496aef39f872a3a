"""The server's WebSockets: connections, delivery of frames, and faults."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from . import faults as fault
from .faults import Faults
from .http_faults import reset
from .log import SocketClosed, SocketOpened, StandInLog


@dataclass(frozen=True)
class Frame:
    """An event for clients, serialized once."""

    event: str
    data: Mapping[str, Any]
    text: str

    @classmethod
    def of(cls, event: str, data: Mapping[str, Any]) -> Frame:
        """Return the frame for an event."""
        return cls(event, data, json.dumps({"type": event, "data": data}))


@dataclass(eq=False)
class Connection:
    """A socket, with its queue of frames to send."""

    client_id: str
    request: web.Request
    socket: web.WebSocketResponse
    frames: asyncio.Queue[Frame] = field(default_factory=asyncio.Queue)
    silent: bool = False


class Sockets:
    """All sockets by client id. A second socket with the same id replaces the first one."""

    def __init__(
        self,
        log: StandInLog,
        faults: Faults,
        queue_info: Callable[[], dict[str, Any]],
        features: Callable[[], dict[str, Any]],
    ) -> None:
        self._log = log
        self._faults = faults
        self._queue_info = queue_info
        self._features = features
        self._by_id: dict[str, Connection] = {}
        self._open: set[Connection] = set()
        self.executing_client: str | None = None
        """Client of the running job."""
        self.last_node: str | None = None
        """The running node, which is sent to a client that reconnects."""

    def send(self, event: str, data: Mapping[str, Any], client_id: str | None = None) -> None:
        """Send a frame to a client, if it is connected, or (None) to all."""
        if client_id is None:
            recipients = list(self._by_id.values())
        else:
            recipients = [self._by_id[client_id]] if client_id in self._by_id else []
        if recipients:
            frame = Frame.of(event, data)
            for connection in recipients:
                connection.frames.put_nowait(frame)

    def send_status(self) -> None:
        """Send the number of jobs to all clients."""
        self.send("status", {"status": self._queue_info()})

    def abort_all(self) -> None:
        """Abort all connections without a close frame."""
        for connection in list(self._open):
            reset(connection.request)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve GET /ws?clientId=… until the socket is closed."""
        client_id = request.query.get("clientId") or uuid.uuid4().hex
        if refused := self._faults.take(fault.RefuseSocket, client_id=client_id):
            return web.Response(status=refused.status)
        # Pings are answered below, so that a silent socket can ignore them.
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        connection = Connection(client_id, request, socket)
        self._by_id[client_id] = connection
        self._open.add(connection)
        self._log.add(SocketOpened(client_id=client_id, headers=dict(request.headers)))
        self._greet(connection)
        pump = asyncio.create_task(self._pump(connection))
        try:
            await self._listen(connection)
        finally:
            pump.cancel()
            # By id, not by connection, as in ComfyUI: when a replaced socket closes, its successor
            # gets no more frames.
            self._by_id.pop(client_id, None)
            self._open.discard(connection)
            self._log.add(SocketClosed(client_id=client_id))
        return socket

    def _greet(self, connection: Connection) -> None:
        client_id = connection.client_id
        self.send("status", {"status": self._queue_info(), "sid": client_id}, client_id)
        if self.executing_client == client_id and self.last_node is not None:
            # Without a prompt id, as on the real server.
            self.send("executing", {"node": self.last_node}, client_id)

    async def _listen(self, connection: Connection) -> None:
        first = True
        async for message in connection.socket:
            if message.type is WSMsgType.PING and not connection.silent:
                await connection.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                if first and _is_feature_flags(message.data):
                    self.send("feature_flags", self._features(), connection.client_id)
                first = False

    async def _pump(self, connection: Connection) -> None:
        try:
            while True:
                frame = await connection.frames.get()
                if not connection.silent:
                    await self._deliver(connection, frame)
        except ConnectionError:
            pass  # the client has disconnected; _listen cleans up

    async def _deliver(self, connection: Connection, frame: Frame) -> None:
        struck = self._faults.take(
            fault.SocketFault,
            event=frame.event,
            prompt_id=frame.data.get("prompt_id"),
            client_id=connection.client_id,
        )
        socket = connection.socket
        match struck:
            case fault.CloseSocket(code=code):
                await socket.close(code=code)
            case fault.AbortSocket():
                reset(connection.request)
            case fault.SilenceSocket():
                connection.silent = True
            case fault.DropFrames():
                pass
            case fault.DuplicateFrames():
                await socket.send_str(frame.text)
                await socket.send_str(frame.text)
            case fault.InjectFrame(frame=bytes() as extra):
                await socket.send_bytes(extra)
                await socket.send_str(frame.text)
            case fault.InjectFrame(frame=str() as extra):
                await socket.send_str(extra)
                await socket.send_str(frame.text)
            case fault.StripPromptId():
                rest = {key: value for key, value in frame.data.items() if key != "prompt_id"}
                await socket.send_str(Frame.of(frame.event, rest).text)
            case _:
                await socket.send_str(frame.text)


def _is_feature_flags(text: str) -> bool:
    try:
        message = json.loads(text)
    except ValueError:
        return False
    return isinstance(message, dict) and message.get("type") == "feature_flags"
