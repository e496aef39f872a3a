"""A TCP proxy that breaks connections as a script says: at which request, at which byte.

The stand-in ComfyUI fails as a server does; this proxy fails as a network does. It may stand before
any HTTP server, and forwards what is no HTTP as well.
"""

from .log import Accepted, Ended, ProxyLog, Record, RequestSeen, Struck
from .rules import (
    ConnectionRule,
    Corrupt,
    Cut,
    Direction,
    Refuse,
    Reset,
    Rule,
    Slow,
    Stall,
    StallConnect,
    StreamRule,
)
from .server import FaultyProxy

__all__ = [
    "Accepted",
    "ConnectionRule",
    "Corrupt",
    "Cut",
    "Direction",
    "Ended",
    "FaultyProxy",
    "ProxyLog",
    "Record",
    "Refuse",
    "RequestSeen",
    "Reset",
    "Rule",
    "Slow",
    "Stall",
    "StallConnect",
    "StreamRule",
    "Struck",
]
