"""Scripted faults of a network: what goes wrong, where, how often. Nothing here is random.

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
    """Strikes `times` times (None: always), after being passed over `after` times."""


# When a connection is accepted ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ConnectionRule(Rule):
    """Strikes a connection before anything was sent on it."""


@dataclass(frozen=True, kw_only=True)
class Refuse(ConnectionRule):
    """Reset the connection at once."""


@dataclass(frozen=True, kw_only=True)
class StallConnect(ConnectionRule):
    """Accept the connection, but let nobody know of it until `release()`."""


# In the middle of a request or its response ---------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class StreamRule(Rule):
    """For requests that begin after the rule was added and whose first line starts with `request`.

    `direction` says whether it strikes the request or the response to it. It does so when the
    request's first line, or the response's first byte, has come and `after_bytes` bytes, the head
    included, went through; at once then, not when the next byte comes.

    A WebSocket's frames belong to the request that opened it, and a connection that does not speak
    HTTP is one endless request without a first line. Every rule counts the requests for
    itself, and several can strike the same one.

    Raises:
        TypeError: `request` is not bytes.
        ValueError: there is no such direction, or a number is out of range.
    """

    request: bytes = b""
    direction: Direction = "request"
    after_bytes: int = 0

    def __post_init__(self) -> None:
        # Here, for in the proxy's thread nobody would see it.
        b"".startswith(self.request)
        if self.direction not in get_args(Direction):
            raise ValueError(f"direction must be request or response, not {self.direction!r}")
        if self.after_bytes < 0:
            raise ValueError(f"after_bytes must not be negative: {self.after_bytes}")


@dataclass(frozen=True, kw_only=True)
class Cut(StreamRule):
    """Close both sides in an orderly way (FIN), as if each had been closed by the other."""


@dataclass(frozen=True, kw_only=True)
class Reset(StreamRule):
    """Reset both sides (RST)."""


@dataclass(frozen=True, kw_only=True)
class Stall(StreamRule):
    """Forward nothing more in this direction, not even an end, until `release()`."""


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

    Their number stays right.
    """

    length: int | None = None


# The script -----------------------------------------------------------------------------------


ScriptedRule = Scripted[Rule]


class Rules:
    """The script of one proxy. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._script: list[ScriptedRule] = []

    def add(self, *rules: Rule) -> None:
        """Put rules at the end of the script."""
        with self._lock:
            self._script.extend(Scripted(rule) for rule in rules)

    def remove(self, rule: Rule) -> None:
        """Take a rule out of the script; nothing happens if it is spent already."""
        with self._lock:
            self._script = [entry for entry in self._script if entry.mishap != rule]

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._script = []

    @property
    def pending(self) -> list[Rule]:
        """Rules that have not struck as often as they shall."""
        with self._lock:
            return [entry.mishap for entry in self._script]

    # The proxy's side

    def for_connection(self) -> list[ScriptedRule]:
        """Rules that may strike a connection that was just accepted."""
        with self._lock:
            entries = [e for e in self._script if isinstance(e.mishap, ConnectionRule)]
            return [entry for entry in entries if not entry.pass_over()]

    def for_request(self, first_line: bytes) -> list[ScriptedRule]:
        """Rules that may strike a request that just began, or its response."""
        with self._lock:
            entries = [e for e in self._script if _is_for(e.mishap, first_line)]
            return [entry for entry in entries if not entry.pass_over()]

    def use(self, entry: ScriptedRule) -> bool:
        """Count a strike; False if the rule was spent or removed in the meantime."""
        with self._lock:
            if entry not in self._script:
                return False
            entry.struck += 1
            if entry.spent:
                self._script.remove(entry)
            return True


def _is_for(rule: Rule, first_line: bytes) -> bool:
    return isinstance(rule, StreamRule) and first_line.startswith(rule.request)
