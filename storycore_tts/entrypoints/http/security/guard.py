"""What each request passes before any route sees it: Host, Origin, size, and headers after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storycore_tts.entrypoints.http import problems
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.settings import ServerConfig

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST_OF_A_FORM = 2**20  # bytes besides the recording: fields, boundaries
_MOST_OF_A_BODY = 2**20  # bytes of JSON; a line of speech has some thousand
_SLOWEST = 30.0  # s without a byte of a body that was announced
_SAFE = ("GET", "HEAD", "OPTIONS")

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware of the service as an app of its own.

    A page of another origin can neither read from the service nor make it do anything: not by a
    form, not by a script, not by a name of its own that leads to 127.0.0.1 (DNS rebinding).

    Args:
        app: What comes behind it.
        settings: Which names and origins are taken, and how much.
    """

    def __init__(self, app: ASGIApp, settings: ServerConfig) -> None:
        self._app = app
        self._hosts = {*_LOOPBACK, settings.host, *map(str.lower, settings.allowed_hosts)}
        self._origins = frozenset(settings.allowed_origins)
        self._most_of_an_upload = int(settings.max_upload_megabytes * 2**20) + _MOST_OF_A_FORM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check(scope["method"], headers)
            limited = _Limited(receive, self._most(scope["path"], headers))
            limited.check(headers)
        except Refused as refused:
            await problems.answer(refused)(scope, receive, _with_headers(send))
            return
        await self._app(scope, limited, _with_headers(send))

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                "This service is not asked for by that name.",
                hint="Its operator can add the name to tts.qwen.server.allowed_hosts.",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin, host):
            raise _foreign()
        site = headers.get("sec-fetch-site", "none")  # browsers say so; others need not
        if origin is None and method not in _SAFE and site not in ("same-origin", "none"):
            raise _foreign()

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin in self._origins or urlsplit(origin).netloc.lower() == host.lower()

    def _most(self, path: str, headers: Headers) -> int:
        kind = headers.get("content-type", "").lower()
        if kind.startswith("multipart/form-data"):
            return self._most_of_an_upload
        if path.endswith("/v1/audio/speech"):  # may hold a recording, in base64
            return self._most_of_an_upload * 4 // 3
        return _MOST_OF_A_BODY


class _Limited:
    """Hands on a body, piece by piece, until it is too large or too slow."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._got = 0
        self._complete = False

    def check(self, headers: Mapping[str, str]) -> None:
        """Refuse a body that is announced to be too large."""
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)

    async def __call__(self) -> Message:
        if self._complete:  # what follows is the client's farewell, which may take its time
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), _SLOWEST)
        except asyncio.TimeoutError:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, f"No byte of the body came for {_SLOWEST:g} s."
            ) from None
        self._got += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._got > self._most:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
        return message

    @property
    def _too_large(self) -> str:
        return f"The body has more than {self._most} bytes."


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers


def _name(host: str) -> str:
    """Return the name in a Host header, without the port and the brackets of IPv6."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _foreign() -> Refused:
    return Refused(
        HTTPStatus.FORBIDDEN,
        "Requests from pages of another origin are not taken.",
        hint="The service's operator can add the origin to tts.qwen.server.allowed_origins.",
    )
