"""Applies scripted faults to HTTP requests."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from . import faults as fault


async def strike(
    struck: fault.HttpFault, request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Respond to a request as the fault requires."""
    match struck:
        case fault.Answer():
            return _answer(struck)
        case fault.Delay(seconds=seconds):
            await asyncio.sleep(seconds)
            return await handler(request)
        case fault.Hang():
            await asyncio.Event().wait()
        case fault.ResetBefore():
            reset(request)
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
    response = await handler(request)
    return _spoilt(struck, request, response)


def _answer(answer: fault.Answer) -> web.Response:
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    headers = {"Content-Type": answer.content_type, **(answer.headers or {})}
    return web.Response(status=answer.status, body=body, headers=headers)


def _spoilt(
    struck: fault.HttpFault, request: web.Request, response: web.StreamResponse
) -> web.StreamResponse:
    if not isinstance(response, web.Response):
        return response
    body = response.body if isinstance(response.body, bytes) else b""
    match struck:
        case fault.ResetAfter():
            reset(request)
        case fault.CutBody(keep=keep):
            _send_raw(request, response, body[: int(len(body) * keep)], len(body))
        case fault.WrongLength(by=by):
            _send_raw(request, response, body, len(body) + by)
        case fault.CorruptBody():
            response.body = bytes(byte ^ 0xA5 for byte in body)
    return response


def _send_raw(request: web.Request, response: web.Response, body: bytes, length: int) -> None:
    # Written to the socket, since aiohttp prevents a Content-Length that does not match the body.
    if request.transport is None:
        return
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"Content-Type: {response.headers.get('Content-Type', 'application/octet-stream')}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    request.transport.write(head.encode("ascii") + body)
    request.transport.close()


def reset(request: web.Request) -> None:
    """Reset the connection: the client's next read fails with "connection reset"."""
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        # Lingering for zero seconds turns the close into a TCP reset.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
