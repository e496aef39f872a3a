"""Scripted network faults: what fails, where and how often. Nothing is random.

```
Rule(times, after)
├── ConnectionRule                                   Refuse · StallConnect
└── StreamRule(request, direction, after_bytes)      Cut · Reset · Stall · Slow · Corrupt
```
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal, get_args

from storycore_tts.testing.script import Mishap, Scripted

Direction = Literal["request", "response"]


@dataclass(frozen=True, kw_only=True)
class Rule(Mishap):
    """Is applied `times` times (None: always), after being skipped `after` times."""


# When a connection is accepted ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ConnectionRule(Rule):
    """Is applied to a connection before anything was sent."""


@dataclass(frozen=True, kw_only=True)
class Refuse(ConnectionRule):
    """Reset the connection immediately."""


@dataclass(frozen=True, kw_only=True)
class StallConnect(ConnectionRule):
    """Accept the connection, but forward nothing until `release()`."""


# In the middle of a request or its response ---------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class StreamRule(Rule):
    """Applies to later requests whose first line starts with `request`.

    `direction` determines whether it applies to the request or to its response. It is applied as
    soon as the first line of the request, or the first byte of the response, has arrived and
    `after_bytes` bytes, including headers, were forwarded.

    WebSocket frames belong to the request that opened the connection. A connection with another
    protocol is a single request without a first line. Each rule counts requests separately, and
    several rules can apply to the same request.

    Raises:
        TypeError: `request` is not bytes.
        ValueError: `direction` is invalid, or a number is out of range.
    """

    request: bytes = b""
    direction: Direction = "request"
    after_bytes: int = 0

    def __post_init__(self) -> None:
        # Checked here, since errors in the proxy's thread would go unnoticed.
        b"".startswith(self.request)
        if self.direction not in get_args(Direction):
            raise ValueError(f"direction must be request or response, not {self.direction!r}")
        if self.after_bytes < 0:
            raise ValueError(f"after_bytes must not be negative: {self.after_bytes}")


@dataclass(frozen=True, kw_only=True)
class Cut(StreamRule):
    """Close both sides normally (FIN), as if each had been closed by its peer."""


@dataclass(frozen=True, kw_only=True)
class Reset(StreamRule):
    """Reset both sides (RST)."""


@dataclass(frozen=True, kw_only=True)
class Stall(StreamRule):
    """Forward nothing in this direction, not even its end, until `release()`."""


@dataclass(frozen=True, kw_only=True)
class Slow(StreamRule):
    """Forward the rest of the message at `bytes_per_second`."""

    bytes_per_second: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.bytes_per_second > 0:
            raise ValueError(f"bytes_per_second must be positive: {self.bytes_per_second}")


@dataclass(frozen=True, kw_only=True)
class Corrupt(StreamRule):
    """Flip all bits of the next `length` bytes (None: of the rest of the message).

    The number of bytes is not changed.
    """

    length: int | None = None


# The script -----------------------------------------------------------------------------------


ScriptedRule = Scripted[Rule]


class Rules:
    """The scripted rules of a proxy. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._script: list[ScriptedRule] = []

    def add(self, *rules: Rule) -> None:
        """Append rules to the script."""
        with self._lock:
            self._script.extend(Scripted(rule) for rule in rules)

    def remove(self, rule: Rule) -> None:
        """Remove a rule from the script, if it is still there."""
        with self._lock:
            self._script = [entry for entry in self._script if entry.mishap != rule]

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._script = []

    @property
    def pending(self) -> list[Rule]:
        """Rules that are still to be applied."""
        with self._lock:
            return [entry.mishap for entry in self._script]

    # The proxy's side

    def for_connection(self) -> list[ScriptedRule]:
        """Return the rules for a connection that was just accepted."""
        with self._lock:
            entries = [e for e in self._script if isinstance(e.mishap, ConnectionRule)]
            return [entry for entry in entries if not entry.pass_over()]

    def for_request(self, first_line: bytes) -> list[ScriptedRule]:
        """Return the rules for a request that has just started, or its response."""
        with self._lock:
            entries = [e for e in self._script if _is_for(e.mishap, first_line)]
            return [entry for entry in entries if not entry.pass_over()]

    def use(self, entry: ScriptedRule) -> bool:
        """Count a use of a rule; False if it was used up or removed in the meantime."""
        with self._lock:
            if entry not in self._script:
                return False
            entry.struck += 1
            if entry.spent:
                self._script.remove(entry)
            return True


def _is_for(rule: Rule, first_line: bytes) -> bool:
    return isinstance(rule, StreamRule) and first_line.startswith(rule.request)
