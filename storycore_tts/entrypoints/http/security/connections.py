"""Connections: timeouts for slow clients, and responses to data that is not HTTP."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from storycore_tts.entrypoints.http.problems import MEDIA_TYPE, Problem, members
from storycore_tts.entrypoints.http.security.guard import HEADERS


class Connection(H11Protocol):
    """Closes connections that do not send a request in time, for which uvicorn has no timeout."""

    patience = 30.0
    """Seconds from the start of a connection, or the end of a response, to the next headers."""

    farewell = 5.0
    """Seconds for a client to read a response while it is still sending an unread body."""

    _hanging_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for the first request."""
        super().connection_made(transport)
        self._expect_another_than(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        super().connection_lost(exc)
        if self._hanging_up is not None:
            self._hanging_up.cancel()

    def on_response_complete(self) -> None:
        """Start the timeout for the next request."""
        answered = self.cycle
        super().on_response_complete()
        self._expect_another_than(answered)

    def send_400_response(self, msg: str) -> None:
        """Respond to data that is not HTTP, unless a response was started, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_not_http(msg))
        self.transport.close()

    def _expect_another_than(self, answered: Any) -> None:
        if self._hanging_up is not None:
            self._hanging_up.cancel()
        still_sends = self.conn.their_state is h11.SEND_BODY
        seconds = self.farewell if still_sends else self.patience
        self._hanging_up = self.loop.call_later(seconds, self._hang_up_if_none_but, answered)

    def _hang_up_if_none_but(self, answered: Any) -> None:
        if self.cycle is answered:
            self.transport.close()


def _not_http(detail: str) -> bytes:
    status = HTTPStatus.BAD_REQUEST
    problem = Problem(type="about:blank", title=status.phrase, status=status, detail=detail)
    body = json.dumps(members(problem)).encode()
    headers = {
        **HEADERS,
        "Cache-Control": "no-store",
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = f"HTTP/1.1 {status:d} {status.phrase}\r\n{''.join(lines)}\r\n"
    return head.encode() + body
