"""Checks Host, Origin and size of each request, and adds security headers to responses."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from http import HTTPStatus

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storycore_tts.domain.logs import log_event
from storycore_tts.entrypoints.http import problems
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.errors import shown
from storycore_tts.settings import ServerConfig

_log = logging.getLogger(__name__)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST_OF_A_FORM = 2**20  # bytes besides the recording: fields, boundaries
_MOST_OF_A_BODY = 2**20  # bytes of JSON; typical requests have a few thousand
_SLOWEST = 30.0  # s without receiving a byte of a body
_LONGEST = 600.0  # s from the first byte of a body to its last
_SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\\?#\[\]]+))(?::\d{1,5})?", re.IGNORECASE)
_MOST_ORIGINS = 100  # rejected origins that are logged
_LONGEST_ORIGIN = 200  # characters
_MOST_DIGITS = 15  # of Content-Length

HEADERS = {
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
"""Headers of every response, including errors."""


def origin_pattern(allowed: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern that matches exactly the allowed origins.

    Args:
        allowed: Origins; ``*`` matches anything, as in ``moz-extension://*``.
    """
    return re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in allowed) or "(?!)")


class Guard:
    """ASGI middleware that protects the service from pages of other origins.

    Such pages can neither read from the service nor trigger actions, whether by forms, by scripts
    or by DNS rebinding.

    Args:
        app: The next ASGI app.
        settings: Allowed hosts and origins, and size limits.
        slowest: Maximum seconds without receiving a byte of a body.
        longest: Maximum seconds to receive a whole body.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerConfig,
        *,
        slowest: float = _SLOWEST,
        longest: float = _LONGEST,
    ) -> None:
        self._app = app
        self._hosts = {*_LOOPBACK, *map(str.lower, (settings.host, *settings.allowed_hosts))}
        self._slowest, self._longest = slowest, longest
        self._origins = origin_pattern(settings.allowed_origins)
        self._refused: set[str] = set()
        self._most_of_an_upload = int(settings.max_upload_megabytes * 2**20) + _MOST_OF_A_FORM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request; pass it on or reject it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check(scope["method"], headers)
            most = self._most(scope["path"], headers)
            limited = _Limited(receive, most, self._slowest, self._longest)
            limited.check(headers)
        except Refused as refused:
            await problems.answer(refused)(scope, receive, _with_headers(send))
            return
        await self._app(scope, limited, _with_headers(send))

    def _check(self, method: str, headers: Headers) -> None:
        _check_framing(headers)
        host = ",".join(headers.getlist("host"))  # several Host headers match nothing
        if _name(host) not in self._hosts:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                "Host not allowed.",
                hint="The operator of the service can add it to tts.qwen.server.allowed_hosts.",
            )
        origins = headers.getlist("origin")
        for origin in origins:
            if not self._is_ours(origin, host):
                self._log_refused(origin)
                raise _foreign(origin)
        site = headers.get("sec-fetch-site", "none")  # sent by browsers only
        if not origins and method not in _SAFE and site not in ("same-origin", "none"):
            raise _foreign()

    def _is_ours(self, origin: str, host: str) -> bool:
        own = (f"http://{host}".lower(), f"https://{host}".lower())
        return origin.lower() in own or self._origins.fullmatch(origin) is not None

    def _log_refused(self, origin: str) -> None:
        """Log a rejected origin, once: the page itself cannot read the error response."""
        if origin not in self._refused and len(self._refused) < _MOST_ORIGINS:
            self._refused.add(origin)
            log_event(_log, logging.WARNING, "origin.refused", origin=origin[:_LONGEST_ORIGIN])

    def _most(self, path: str, headers: Headers) -> int:
        kind = headers.get("content-type", "").lower()
        if kind.startswith("multipart/form-data"):
            return self._most_of_an_upload
        if path.endswith("/v1/audio/speech"):  # may contain a base64 recording
            return self._most_of_an_upload * 4 // 3
        return _MOST_OF_A_BODY


class _Limited:
    """Passes on a body unless it is too large or too slow."""

    def __init__(self, receive: Receive, most: int, slowest: float, longest: float) -> None:
        self._receive = receive
        self._most = most
        self._slowest = slowest
        self._until = asyncio.get_running_loop().time() + longest
        self._got = 0
        self._complete = False

    def check(self, headers: Headers) -> None:
        """Reject a body whose Content-Length is too large."""
        length = headers.get("content-length", "0")
        if len(length) > _MOST_DIGITS or int(length) > self._most:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)

    async def __call__(self) -> Message:
        if self._complete:  # only http.disconnect follows, which may take any time
            return await self._receive()
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0:  # fail_after would let data pass that has already arrived
            raise _too_slow()
        try:
            # Not asyncio.wait_for, which may swallow a cancellation before Python 3.12.
            with anyio.fail_after(min(self._slowest, left)):
                message = await self._receive()
        except TimeoutError:
            raise _too_slow() from None
        self._got += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._got > self._most:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
        return message

    @property
    def _too_large(self) -> str:
        return f"The request body exceeds {self._most} bytes."


def _too_slow() -> HTTPException:
    return HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The request body was sent too slowly.")


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return send_with_headers


def _name(host: str) -> str:
    """Return the host name in a Host header, without the port and IPv6 brackets."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _check_framing(headers: Headers) -> None:
    """Reject a body whose length a proxy might interpret differently (request smuggling)."""
    lengths = headers.getlist("content-length")
    said_twice = len(lengths) + len(headers.getlist("transfer-encoding")) > 1
    if said_twice or not all(length.isascii() and length.isdecimal() for length in lengths):
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "The length of the request body is ambiguous.",
            headers={"Connection": "close"},
        )


def _foreign(origin: str = "") -> Refused:
    named = shown(origin[:_LONGEST_ORIGIN]) if origin else "the origin"
    return Refused(
        HTTPStatus.FORBIDDEN,
        "Requests from this origin are not allowed.",
        hint=f"The operator of the service can add {named} to tts.qwen.server.allowed_origins.",
    )
