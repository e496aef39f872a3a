"""A log that tests read and wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from typing_extensions import Self

R = TypeVar("R")
S = TypeVar("S")


class RecordLog(Generic[R]):
    """A thread-safe list of records; a subclass adds the questions that its tests ask."""

    def __init__(self) -> None:
        self._records: list[R] = []
        self._changed = threading.Condition()

    def add(self, record: R) -> None:
        """Append a record and wake everybody who waits."""
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    @property
    def records(self) -> tuple[R, ...]:
        """Everything so far, oldest first."""
        with self._changed:
            return tuple(self._records)

    def of(self, cls: type[S]) -> list[S]:
        """All records of one kind, oldest first."""
        return [record for record in self.records if isinstance(record, cls)]

    def wait_for(self, what: type[R] | Callable[[Self], object], timeout: float = 10.0) -> bool:
        """Block until there is a record of a kind, or until a predicate holds for this log.

        In a coroutine use `until`, which does not block the loop.

        Returns:
            False if it did not come true within `timeout` seconds.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._holds(what), timeout)

    async def until(self, what: type[R] | Callable[[Self], object], timeout: float = 10.0) -> bool:
        """Like `wait_for`, from a coroutine."""
        return await asyncio.to_thread(self.wait_for, what, timeout)

    def _holds(self, what: type[R] | Callable[[Self], object]) -> bool:
        return bool(self.of(what) if isinstance(what, type) else what(self))
