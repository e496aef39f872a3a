"""The prefix under which a reverse proxy offers the service."""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from storycore_tts.settings import PATH_PREFIX, ServerConfig

_LONGEST = 200  # characters


class Prefix:
    """ASGI middleware that lets the service find its place below a prefix.

    It makes no difference whether the proxy takes the prefix off the path. What a proxy says of it
    counts only if the proxy is trusted: addresses in answers are made from it.

    Args:
        app: What comes behind it.
        settings: The usual prefix, and who may say another.
    """

    def __init__(self, app: ASGIApp, settings: ServerConfig) -> None:
        self._app = app
        self._usual = settings.root_path
        self._proxies = [
            ipaddress.ip_network(one, strict=False) for one in settings.trusted_proxies
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and (prefix := self._prefix(scope)):
            path = scope["path"]
            if path == prefix:  # the page's own addresses are relative to the folder
                await RedirectResponse(f"{prefix}/")(scope, receive, send)
                return
            whole = path if path.startswith(f"{prefix}/") else f"{prefix}{path}"
            scope = {**scope, "root_path": prefix, "path": whole}
        await self._app(scope, receive, send)

    def _prefix(self, scope: Scope) -> str:
        said = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
        is_prefix = len(said) <= _LONGEST and re.fullmatch(PATH_PREFIX, said)
        return said if said and is_prefix and self._is_trusted(scope) else self._usual

    def _is_trusted(self, scope: Scope) -> bool:
        try:
            address = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:  # a socket that is no network's
            return False
        return any(address in network for network in self._proxies)
