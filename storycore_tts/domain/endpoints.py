"""Servers that continue a job after the process that submitted it has ended."""

from __future__ import annotations

import ipaddress
import platform
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class BackendEndpoint:
    """A backend server whose jobs continue if the client disconnects.

    Args:
        url: Its base URL.
        machine: Host name of the only machine that can use the URL, if it is a loopback address;
            "": any machine can.
    """

    url: str
    machine: str = ""

    @classmethod
    def at(cls, url: str) -> BackendEndpoint:
        """Return the endpoint for a URL as seen from this machine.

        Args:
            url: Base URL of the server.
        """
        return cls(url, platform.node() if is_loopback(urlsplit(url).hostname or "") else "")

    @property
    def in_reach(self) -> bool:
        """Whether the URL refers to the same server on this machine."""
        return self.machine in ("", platform.node())


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only.

    Args:
        host: A host name or an IP address.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
