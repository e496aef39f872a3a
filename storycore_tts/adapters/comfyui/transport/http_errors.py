"""What a failed call to the server means, in our errors, each with what to do next."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from urllib.request import getproxies, proxy_bypass

import httpx

from storycore_tts.adapters.comfyui.protocol import BACKEND
from storycore_tts.domain.errors import (
    AuthenticationFailed,
    BackendOverloaded,
    BackendTimeout,
    BackendUnavailable,
    ConfigurationError,
    TTSError,
)
from storycore_tts.settings import ComfyUITimeouts

_PROXY_HINT = (
    "The variables HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name the proxy, with its credentials "
    "(http://user:password@host:port); put the server's host into NO_PROXY to go past it."
)
# What OpenSSL calls an answer that is no TLS; the words changed from version to version.
_NAME_IS_UNKNOWN_FOR = 60.0  # s at least: a name that cannot be resolved is not tried at once again
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


def unreachable_hint(url: str) -> str:
    """Say what people check when a server does not answer at an address."""
    return (
        f"Start ComfyUI, or set tts.qwen.comfyui_url (now {url}): ComfyUI Desktop listens on "
        "port 8000, other installations on 8188."
    )


class HttpErrors:
    """Turns failures of HTTP into errors of ours.

    Args:
        url: The server's address.
        timeouts: The limits that the messages name.
    """

    def __init__(self, url: str, timeouts: ComfyUITimeouts) -> None:
        self._url = url
        self._timeouts = timeouts

    def failure(self, error: httpx.RequestError) -> TTSError:
        """Read a request that got no answer, or one that cannot be decompressed."""
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
        return _unavailable(
            f"The connection to ComfyUI at {self._url} broke: {error or type(error).__name__}.",
            "Look at the server's own log; it may have restarted.",
        )

    def status(self, response: httpx.Response) -> TTSError:
        """Read an answer whose status says that it is no success."""
        status, path = response.status_code, response.request.url.path
        said = f"ComfyUI at {self._url} answered {status} {response.reason_phrase} to {path}."
        if status in (401, 403):
            return AuthenticationFailed(
                said,
                hint="Put the server's credentials into tts.qwen.comfyui.headers.",
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
            hint = f"It points to {there}: if that is yours, set tts.qwen.comfyui_url to it."
            return _unavailable(said, hint, retryable=False)
        if status in (404, 405):
            return self.not_comfyui(f"it answered {status} to {path}")
        if status == httpx.codes.BAD_REQUEST and "https port" in response.text.lower():
            return self.wants_https()  # in the words of nginx
        return _unavailable(said, "Look at the server's own log.")

    def not_comfyui(self, reason: str) -> BackendUnavailable:
        """Say that somebody else listens there."""
        said = f"The server at {self._url} does not speak like ComfyUI: {reason}."
        return _unavailable(said, unreachable_hint(self._url), retryable=False)

    def wants_https(self) -> BackendUnavailable:
        """Say that the server speaks TLS, and is asked without."""
        said = f"The server at {self._url} speaks TLS, and the address says http."
        return _unavailable(said, "Write https:// in tts.qwen.comfyui_url.", retryable=False)

    def _timed_out(self, wait: str, seconds: float) -> BackendTimeout:
        return BackendTimeout(
            f"ComfyUI at {self._url} did not answer within {seconds:g} s.",
            wait=wait,
            seconds=seconds,
            hint=f"Is it overloaded? The limit is tts.qwen.comfyui.timeouts.{wait}.",
            backend=BACKEND,
        )

    def _proxy_refused(self, reason: str) -> BackendUnavailable:
        said = f"A proxy on the way to {self._url} refuses: {reason}."
        # Credentials do not come by themselves.
        return _unavailable(said, _PROXY_HINT, retryable="407" not in reason)

    def _unreachable(self, error: httpx.ConnectError) -> BackendUnavailable:
        reason = str(error) or "the connection was refused"
        hint, retryable, retry_after = unreachable_hint(self._url), True, None
        causes = list(_causes(error))
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        if isinstance(tls, ssl.SSLCertVerificationError):
            hint, retryable = "Check its certificate, or set tts.qwen.comfyui.verify_tls.", False
        elif tls is not None and tls.reason in _NO_TLS:
            reason = "the server speaks plain HTTP, and the address says https"
            hint, retryable = "Write http:// in tts.qwen.comfyui_url.", False
        elif any(isinstance(cause, socket.gaierror) for cause in causes):
            host = httpx.URL(self._url).host
            reason = f"the host name {host} cannot be resolved ({reason})"
            hint = "Check tts.qwen.comfyui_url, and whether this machine is on its network."
            retry_after = _NAME_IS_UNKNOWN_FOR
        elif _goes_through_a_proxy(self._url):
            hint = f"{hint} A proxy is set for it. {_PROXY_HINT}"
        elif any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            reason = "nothing listens there"
        said = f"Cannot reach ComfyUI at {self._url}: {reason}."
        return _unavailable(said, hint, retryable=retryable, retry_after=retry_after)


def _unavailable(
    message: str, hint: str, *, retryable: bool = True, retry_after: float | None = None
) -> BackendUnavailable:
    return BackendUnavailable(
        message, hint=hint, backend=BACKEND, retryable=retryable, retry_after=retry_after
    )


async def speaks_tls(url: str, *, timeout: float) -> bool:
    """Try a TLS handshake with a server that hung up on plain HTTP."""
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
    """Yield an error and what led to it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _seconds(header: str | None) -> float | None:
    """Read a Retry-After header that counts seconds; its date form is not worth a wait of ours."""
    return float(header) if header is not None and header.isdecimal() else None
