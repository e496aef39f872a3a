"""Validation of server addresses."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LONGEST_URL = 2000


def checked_url(url: str) -> str:
    """Validate an http(s) URL and return it without a trailing slash; a path prefix is kept.

    Args:
        url: The URL.

    Raises:
        ValueError: The URL is invalid; the message says what is allowed.
    """
    example = "an address such as http://127.0.0.1:8188"
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"{example} ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{example}: it must begin with http:// or https://")
    if not parts.hostname or not port_is_right or not _is_host(parts.hostname, parts.netloc):
        raise ValueError(f"{example}: it needs a host and, optionally, a port from 1 to 65535")
    if "@" in parts.netloc:
        raise ValueError("an address without user and password; put them into comfyui.headers")
    if "?" in url or "#" in url:
        raise ValueError(f"{example}: without a query (?) or fragment (#)")
    if not url.isprintable() or " " in url:
        raise ValueError(f"{example}: without spaces or control characters")
    if len(url) > _LONGEST_URL:
        raise ValueError(f"{example}: at most {_LONGEST_URL} characters long")
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")


def _is_host(host: str, netloc: str) -> bool:
    """Return whether httpx accepts this host."""
    try:
        if "[" in netloc:
            return bool(ipaddress.IPv6Address(host))
        if host.replace(".", "").isdigit():
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    if host.isascii():
        return re.fullmatch(r"[\w.-]+", host) is not None
    import httpx  # validates internationalised names; slow to import, so only when needed

    try:
        return bool(httpx.URL(f"http://{host}").host)
    except httpx.InvalidURL:
        return False
