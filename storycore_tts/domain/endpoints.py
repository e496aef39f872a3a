"""Where a job goes on when the process that watches it has ended."""

from __future__ import annotations

import ipaddress
import platform
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class BackendEndpoint:
    """A server that does jobs to their end, whoever still watches.

    Args:
        url: Where it listens.
        machine: The one that reaches it there, should that be itself; "": any machine does.
    """

    url: str
    machine: str = ""

    @classmethod
    def at(cls, url: str) -> BackendEndpoint:
        """Return the endpoint that this machine reaches by a URL."""
        return cls(url, platform.node() if is_loopback(urlsplit(url).hostname or "") else "")

    @property
    def in_reach(self) -> bool:
        """Whether its URL means the same server on this machine."""
        return self.machine in ("", platform.node())


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
