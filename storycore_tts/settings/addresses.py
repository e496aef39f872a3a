"""Addresses of servers."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LONGEST_URL = 2000


def checked_url(url: str) -> str:
    """Return an http(s) URL without its trailing slash; a path prefix stays."""
    example = "an address such as http://127.0.0.1:8188"
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"{example} ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{example}: it begins with http:// or https://")
    if not parts.hostname or not port_is_right or not _is_host(parts.hostname, parts.netloc):
        raise ValueError(f"{example}: it names a host, and a port from 1 to 65535 if any")
    if "@" in parts.netloc:
        raise ValueError("an address without user and password; put them into comfyui.headers")
    if "?" in url or "#" in url:
        raise ValueError(f"{example}: it ends before any ? or #")
    if not url.isprintable() or " " in url:
        raise ValueError(f"{example}: without spaces and control characters")
    if len(url) > _LONGEST_URL:
        raise ValueError(f"{example}: of {_LONGEST_URL} characters at most")
    return f"{parts.scheme}{url[len(parts.scheme) :]}".rstrip("/")


def _is_host(host: str, netloc: str) -> bool:
    """Tell whether the HTTP library takes this host."""
    try:
        if "[" in netloc:
            return bool(ipaddress.IPv6Address(host))
        if host.replace(".", "").isdigit():
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    if host.isascii():
        return re.fullmatch(r"[\w.-]+", host) is not None
    import httpx  # knows which letters a name may have; needed for such names only

    try:
        return bool(httpx.URL(f"http://{host}").host)
    except httpx.InvalidURL:
        return False
