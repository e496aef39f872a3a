"""What a proxy saw and did: typed records that tests read and wait for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

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


R = TypeVar("R", bound=Record)


class ProxyLog:
    """A thread-safe list of records, with the questions that tests ask about it."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._changed = threading.Condition()

    def add(self, record: Record) -> None:
        """Append a record and wake everybody who waits."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    @property
    def records(self) -> tuple[Record, ...]:
        """Everything so far, oldest first."""
        with self._changed:
            return tuple(self._records)

    def of(self, cls: type[R]) -> list[R]:
        """All records of one kind, oldest first."""
        return [record for record in self.records if isinstance(record, cls)]

    @property
    def requests(self) -> list[bytes]:
        """The first lines of all requests."""
        return [record.first_line for record in self.of(RequestSeen)]

    @property
    def struck(self) -> list[Rule]:
        """The rules that struck, once for each strike."""
        return [record.rule for record in self.of(Struck)]

    def wait_for(
        self, what: type[Record] | Callable[[ProxyLog], object], timeout: float = 10.0
    ) -> bool:
        """Block until there is a record of a kind, or until a predicate holds for this log.

        In a coroutine use `until`, which does not block the loop.

        Returns:
            False if it did not come true within `timeout` seconds.
        """

        def holds() -> bool:
            return bool(self.of(what) if isinstance(what, type) else what(self))

        with self._changed:
            return self._changed.wait_for(holds, timeout)

    async def until(
        self, what: type[Record] | Callable[[ProxyLog], object], timeout: float = 10.0
    ) -> bool:
        """Like `wait_for`, from a coroutine."""
        return await asyncio.to_thread(self.wait_for, what, timeout)
