"""Scripted faults, with the number of times that they are skipped and applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class Mishap:
    """A fault that is applied `times` times (None: always), after being skipped `after` times."""

    times: int | None = 1
    after: int = 0


M = TypeVar("M", bound=Mishap)


@dataclass(eq=False)
class Scripted(Generic[M]):
    """A mishap and how often it was skipped and applied."""

    mishap: M
    passed_over: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        """Whether it was applied as often as required."""
        return self.mishap.times is not None and self.struck >= self.mishap.times

    def pass_over(self) -> bool:
        """Return whether to skip this occasion, and count it."""
        passed = self.passed_over < self.mishap.after
        self.passed_over += passed
        return passed
