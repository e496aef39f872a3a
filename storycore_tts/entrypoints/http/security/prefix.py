"""Path prefixes of reverse proxies."""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from storycore_tts.settings import PATH_PREFIX, ServerConfig

_LONGEST = 200  # characters


class Prefix:
    """ASGI middleware that makes the service work below a path prefix.

    The proxy may or may not strip the prefix from the path. ``X-Forwarded-Prefix`` is used only if
    it comes from a trusted proxy, since URLs in responses are built from it.

    Args:
        app: The next ASGI app.
        settings: The default prefix and the trusted proxies.
    """

    def __init__(self, app: ASGIApp, settings: ServerConfig) -> None:
        self._app = app
        self._usual = settings.root_path
        self._proxies = [
            ipaddress.ip_network(one, strict=False) for one in settings.trusted_proxies
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and (prefix := self._prefix(scope)):
            path = scope["path"]
            if path == prefix:  # URLs in the page are relative to the folder
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
        except ValueError:  # not a network socket
            return False
        return any(address in network for network in self._proxies)
