"""What a proxy saw and did: typed records that tests read and wait for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from storycore_tts.testing.records import RecordLog

from .rules import Rule


@dataclass(frozen=True, kw_only=True)
class Record:
    """One thing that happened on a connection; connections are numbered from 1.

    `at` is what `time.monotonic()` said.
    """

    connection: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Accepted(Record):
    """A client connected."""


@dataclass(frozen=True, kw_only=True)
class RequestSeen(Record):
    """An HTTP request begins; `first_line` is without the line end."""

    first_line: bytes


@dataclass(frozen=True, kw_only=True)
class Struck(Record):
    """A rule struck."""

    rule: Rule


@dataclass(frozen=True, kw_only=True)
class Ended(Record):
    """Both sockets of a connection are closed; `reset` says how."""

    reset: bool


class ProxyLog(RecordLog[Record]):
    """What a proxy saw and did, with the questions that tests ask about it."""

    @property
    def requests(self) -> list[bytes]:
        """The first lines of all requests."""
        return [record.first_line for record in self.of(RequestSeen)]

    @property
    def struck(self) -> list[Rule]:
        """The rules that struck, once for each strike."""
        return [record.rule for record in self.of(Struck)]
