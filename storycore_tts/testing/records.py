"""A log of records that tests read and wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from typing_extensions import Self

R = TypeVar("R")
S = TypeVar("S")


class RecordLog(Generic[R]):
    """A thread-safe list of records; subclasses add queries."""

    def __init__(self) -> None:
        self._records: list[R] = []
        self._changed = threading.Condition()

    def add(self, record: R) -> None:
        """Append a record and notify all waiting threads."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    @property
    def records(self) -> tuple[R, ...]:
        """All records so far, oldest first."""
        with self._changed:
            return tuple(self._records)

    def of(self, cls: type[S]) -> list[S]:
        """Return all records of a type, oldest first."""
        return [record for record in self.records if isinstance(record, cls)]

    def wait_for(self, what: type[R] | Callable[[Self], object], timeout: float = 10.0) -> bool:
        """Block until there is a record of a type, or until a predicate holds for this log.

        Args:
            what: A record type, or a predicate that gets this log.
            timeout: Maximum time to wait, in seconds.

        In a coroutine, use `until`, which does not block the loop.

        Returns:
            False if the timeout expired.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._holds(what), timeout)

    async def until(self, what: type[R] | Callable[[Self], object], timeout: float = 10.0) -> bool:
        """Like `wait_for`, for coroutines."""
        return await asyncio.to_thread(self.wait_for, what, timeout)

    def _holds(self, what: type[R] | Callable[[Self], object]) -> bool:
        return bool(self.of(what) if isinstance(what, type) else what(self))
