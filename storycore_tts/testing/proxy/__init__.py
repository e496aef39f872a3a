"""A TCP proxy that breaks connections as scripted, at a given request and byte.

The stand-in ComfyUI simulates failures of a server; this proxy simulates failures of a network. It
works with any HTTP server, and also forwards other protocols.
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
