"""What each request passes before any route sees it: Host, Origin, size, and headers after it."""

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

from storycore_tts.domain.errors import shown
from storycore_tts.domain.logs import log_event
from storycore_tts.entrypoints.http import problems
from storycore_tts.entrypoints.http.problems import Refused
from storycore_tts.settings import ServerConfig

_log = logging.getLogger(__name__)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST_OF_A_FORM = 2**20  # bytes besides the recording: fields, boundaries
_MOST_OF_A_BODY = 2**20  # bytes of JSON; a line of speech has some thousand
_SLOWEST = 30.0  # s without a byte of a body that was announced
_LONGEST = 600.0  # s from the first byte of a body to its last
_SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\\?#\[\]]+))(?::\d{1,5})?", re.IGNORECASE)
_MOST_ORIGINS = 100  # that were refused, and are logged
_LONGEST_ORIGIN = 200  # characters
_MOST_DIGITS = 15  # of a length in bytes

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
"""What each answer carries, errors included."""


def origin_pattern(allowed: Sequence[str]) -> re.Pattern[str]:
    """Return what matches the origins that the settings allow, and no others.

    Args:
        allowed: Origins; ``*`` is any, and ``moz-extension://*`` any extension.
    """
    return re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in allowed) or "(?!)")


class Guard:
    """ASGI middleware of the service as an app of its own.

    A page of another origin can neither read from the service nor make it do anything: not by a
    form, not by a script, not by a name of its own that leads to 127.0.0.1 (DNS rebinding).

    Args:
        app: What comes behind it.
        settings: Which names and origins are taken, and how much.
        slowest: Seconds that may pass without a byte of a body.
        longest: Seconds that a body may take.
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
        """Let a request pass, or answer it."""
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
        host = ",".join(headers.getlist("host"))  # there is one; of several, none counts
        if _name(host) not in self._hosts:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                "Host not allowed.",
                hint="Its operator can add the name to tts.qwen.server.allowed_hosts.",
            )
        origins = headers.getlist("origin")
        for origin in origins:
            if not self._is_ours(origin, host):
                self._tell_of(origin)
                raise _foreign(origin)
        site = headers.get("sec-fetch-site", "none")  # browsers say so; others need not
        if not origins and method not in _SAFE and site not in ("same-origin", "none"):
            raise _foreign()

    def _is_ours(self, origin: str, host: str) -> bool:
        own = (f"http://{host}".lower(), f"https://{host}".lower())
        return origin.lower() in own or self._origins.fullmatch(origin) is not None

    def _tell_of(self, origin: str) -> None:
        """Log an origin once: a page cannot read the answer that it is refused with."""
        if origin not in self._refused and len(self._refused) < _MOST_ORIGINS:
            self._refused.add(origin)
            log_event(_log, logging.WARNING, "origin.refused", origin=origin[:_LONGEST_ORIGIN])

    def _most(self, path: str, headers: Headers) -> int:
        kind = headers.get("content-type", "").lower()
        if kind.startswith("multipart/form-data"):
            return self._most_of_an_upload
        if path.endswith("/v1/audio/speech"):  # may hold a recording, in base64
            return self._most_of_an_upload * 4 // 3
        return _MOST_OF_A_BODY


class _Limited:
    """Hands on a body, piece by piece, until it is too large or too slow."""

    def __init__(self, receive: Receive, most: int, slowest: float, longest: float) -> None:
        self._receive = receive
        self._most = most
        self._slowest = slowest
        self._until = asyncio.get_running_loop().time() + longest
        self._got = 0
        self._complete = False

    def check(self, headers: Headers) -> None:
        """Refuse a body that is announced to be too large."""
        length = headers.get("content-length", "0")
        if len(length) > _MOST_DIGITS or int(length) > self._most:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)

    async def __call__(self) -> Message:
        if self._complete:  # what follows is the client's farewell, which may take its time
            return await self._receive()
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0:  # a piece that is there already would be taken without a wait
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
        return f"The body has more than {self._most} bytes."


def _too_slow() -> HTTPException:
    return HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The body came too slowly, or not at all.")


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
    """Return the name in a Host header, without the port and the brackets of IPv6."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _check_framing(headers: Headers) -> None:
    """Refuse a body of which a proxy might see another end than we do (request smuggling)."""
    lengths = headers.getlist("content-length")
    said_twice = len(lengths) + len(headers.getlist("transfer-encoding")) > 1
    if said_twice or not all(length.isascii() and length.isdecimal() for length in lengths):
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "The length of the body is not said clearly.",
            headers={"Connection": "close"},
        )


def _foreign(origin: str = "") -> Refused:
    named = shown(origin[:_LONGEST_ORIGIN]) if origin else "the origin"
    return Refused(
        HTTPStatus.FORBIDDEN,
        "Requests from pages of another origin are not taken.",
        hint=f"The service's operator can add {named} to tts.qwen.server.allowed_origins.",
    )
