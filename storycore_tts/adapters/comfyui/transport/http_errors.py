"""Converts failed HTTP requests to errors with hints."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from urllib.request import getproxies, proxy_bypass

import httpx

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.errors import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    TTSError,
)
from storycore_tts.settings import ComfyUITimeouts

_PROXY_HINT = (
    "The proxy and its credentials are set by HTTP_PROXY, HTTPS_PROXY and ALL_PROXY "
    "(http://user:password@host:port); to bypass it, add the server's host to NO_PROXY."
)
_NAME_IS_UNKNOWN_FOR = 60.0  # s before the next attempt if a host name cannot be resolved
# OpenSSL's reasons for a response that is not TLS, in its various versions.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


def unreachable_hint(url: str) -> str:
    """Return the hint for a server that cannot be reached."""
    return (
        f"Start ComfyUI, or set tts.qwen.comfyui_url (currently {url}): ComfyUI Desktop listens on "
        "port 8000, other installations on 8188."
    )


class HttpErrors:
    """Converts failed HTTP requests to errors.

    Args:
        url: URL of the server.
        timeouts: The timeouts, for messages.
    """

    def __init__(self, url: str, timeouts: ComfyUITimeouts) -> None:
        self._url = url
        self._timeouts = timeouts

    def failure(self, error: httpx.RequestError) -> TTSError:
        """Return the error for a request without a response, or with an unreadable one."""
        if isinstance(error, httpx.ConnectTimeout):
            return self._timed_out("connect", self._timeouts.connect)
        if isinstance(error, httpx.TimeoutException):
            return self._timed_out("request", self._timeouts.request)
        if isinstance(error, httpx.ProxyError):
            return self._proxy_refused(str(error))
        if isinstance(error, httpx.ConnectError):
            return self._unreachable(error)
        if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
            return ConfigurationError(
                f"Cannot send a request to {self._url}: {error}.",
                key="tts.qwen.comfyui",
                hint="Check tts.qwen.comfyui_url and tts.qwen.comfyui.headers.",
            )
        said = str(error).rstrip(".") or type(error).__name__
        return _unavailable(
            f"The connection to ComfyUI at {self._url} failed: {said}.",
            "Check the log of the server; it may have been restarted.",
        )

    def status(self, response: httpx.Response) -> TTSError:
        """Return the error for a response with an error status."""
        status, path = response.status_code, response.request.url.path
        said = f"ComfyUI at {self._url} responded to {path} with {status} {response.reason_phrase}."
        if status in (401, 403):
            return AuthenticationFailed(
                said,
                hint="Set the server's credentials in tts.qwen.comfyui.headers.",
                backend=BACKEND,
            )
        if status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            return self._proxy_refused(f"{status} {response.reason_phrase}")
        if status in (429, 503):
            return BackendOverloaded(
                said,
                hint="Wait before the next request.",
                backend=BACKEND,
                retry_after=_seconds(response.headers.get("Retry-After")),
            )
        if response.is_redirect:
            there = response.headers.get("Location")
            hint = f"It redirects to {there}. If you trust it, set tts.qwen.comfyui_url to it."
            return _unavailable(said, hint, retryable=False)
        if status in (404, 405):
            return self.not_comfyui(f"it responded to {path} with {status}")
        if status == httpx.codes.BAD_REQUEST and "https port" in response.text.lower():
            return self.wants_https()  # nginx's message
        return _unavailable(said, "Check the log of the server.")

    def not_comfyui(self, reason: str) -> BackendUnavailable:
        """Return the error for a server that is not ComfyUI."""
        said = f"The server at {self._url} does not behave like ComfyUI: {reason}."
        return _unavailable(said, unreachable_hint(self._url), retryable=False)

    def wants_https(self) -> BackendUnavailable:
        """Return the error for a server that requires https."""
        said = f"The server at {self._url} requires https, but the URL starts with http."
        return _unavailable(said, "Use https:// in tts.qwen.comfyui_url.", retryable=False)

    def _timed_out(self, wait: str, seconds: float) -> BackendTimeout:
        return BackendTimeout(
            f"ComfyUI at {self._url} did not respond within {seconds:g} s.",
            wait=wait,
            seconds=seconds,
            hint="Check whether the server is overloaded, or increase "
            f"tts.qwen.comfyui.timeouts.{wait}.",
            backend=BACKEND,
        )

    def _proxy_refused(self, reason: str) -> BackendUnavailable:
        said = f"The proxy for {self._url} rejected the request: {reason}."
        # 407: a retry would lack credentials, too.
        return _unavailable(said, _PROXY_HINT, retryable="407" not in reason)

    def _unreachable(self, error: httpx.ConnectError) -> BackendUnavailable:
        reason = str(error) or "the connection was refused"
        hint, retryable, retry_after = unreachable_hint(self._url), True, None
        causes = list(_causes(error))
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        if isinstance(tls, ssl.SSLCertVerificationError):
            hint, retryable = "Check its certificate, or set tts.qwen.comfyui.verify_tls.", False
        elif tls is not None and tls.reason in _NO_TLS:
            reason = "the server uses plain HTTP, but the URL starts with https"
            hint, retryable = "Use http:// in tts.qwen.comfyui_url.", False
        elif any(isinstance(cause, socket.gaierror) for cause in causes):
            host = httpx.URL(self._url).host
            reason = f"the host name {host} cannot be resolved ({reason})"
            hint = "Check tts.qwen.comfyui_url and the network connection of this machine."
            retry_after = _NAME_IS_UNKNOWN_FOR
        elif _goes_through_a_proxy(self._url):
            hint = f"{hint} A proxy is configured for this URL. {_PROXY_HINT}"
        elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            reason = "connection refused, no server is listening"
        said = f"Cannot reach ComfyUI at {self._url}: {reason}."
        return _unavailable(said, hint, retryable=retryable, retry_after=retry_after)


def _unavailable(
    message: str, hint: str, *, retryable: bool = True, retry_after: float | None = None
) -> BackendUnavailable:
    return BackendUnavailable(
        message, hint=hint, backend=BACKEND, retryable=retryable, retry_after=retry_after
    )


async def speaks_tls(url: str, *, timeout: float) -> bool:
    """Return whether a server that closed a plain HTTP connection accepts a TLS handshake.

    Args:
        url: URL of the server.
        timeout: Timeout of the handshake, in seconds.
    """
    address = httpx.URL(url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connecting = asyncio.open_connection(
        address.host, address.port or 80, ssl=context, ssl_handshake_timeout=timeout
    )
    try:
        _, writer = await connecting
    except OSError:  # also ssl.SSLError
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _goes_through_a_proxy(url: str) -> bool:
    address = httpx.URL(url)
    proxies = getproxies()
    there = address.scheme in proxies or "all" in proxies
    return there and not proxy_bypass(address.host)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _seconds(header: str | None) -> float | None:
    """Parse a Retry-After header in seconds; its date form is ignored."""
    return float(header) if header is not None and header.isdecimal() else None
