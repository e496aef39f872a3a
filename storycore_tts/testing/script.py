"""What goes wrong as a script says: so many times, after so many chances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class Mishap:
    """Strikes `times` times (None: always), after being passed over `after` times."""

    times: int | None = 1
    after: int = 0


M = TypeVar("M", bound=Mishap)


@dataclass(eq=False)
class Scripted(Generic[M]):
    """A mishap and how often its time came."""

    mishap: M
    passed_over: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it shall."""
        return self.mishap.times is not None and self.struck >= self.mishap.times

    def pass_over(self) -> bool:
        """Whether this chance is one of those that it lets pass; counts it."""
        passed = self.passed_over < self.mishap.after
        self.passed_over += passed
        return passed
