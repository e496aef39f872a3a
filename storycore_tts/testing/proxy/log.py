"""The log of a proxy: typed records that tests read and wait for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from storycore_tts.testing.records import RecordLog

from .rules import Rule


@dataclass(frozen=True, kw_only=True)
class Record:
    """A logged event of a connection; connections are numbered from 1.

    `at` is a value of `time.monotonic()`.
    """

    connection: int
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Accepted(Record):
    """A client connected."""


@dataclass(frozen=True, kw_only=True)
class RequestSeen(Record):
    """An HTTP request started; `first_line` has no line end."""

    first_line: bytes


@dataclass(frozen=True, kw_only=True)
class Struck(Record):
    """A rule was applied."""

    rule: Rule


@dataclass(frozen=True, kw_only=True)
class Ended(Record):
    """Both sockets of a connection were closed; `reset` says whether they were reset."""

    reset: bool


class ProxyLog(RecordLog[Record]):
    """The log of a proxy, with queries for tests."""

    @property
    def requests(self) -> list[bytes]:
        """The first lines of all requests."""
        return [record.first_line for record in self.of(RequestSeen)]

    @property
    def struck(self) -> list[Rule]:
        """The applied rules, once for each application."""
        return [record.rule for record in self.of(Struck)]
