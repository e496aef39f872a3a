"""From a checkout and a wish to the texts that fulfil it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from storycore_tts.services.migration.checkout import Checkout
from storycore_tts.services.migration.errors import CannotGoBack, MigrationRefused
from storycore_tts.services.migration.regions import names_in
from storycore_tts.services.migration.steps import (
    LAST,
    PHASES,
    STEPS,
    Finding,
    names_lost,
    steps_of,
)

_CONTEXT = 3  # lines around a change
_NO_NEWLINE = "\n\\ No newline at end of file\n"


@dataclass(frozen=True)
class Evidence:
    """What shows that a step of a phase is done, or that it is not.

    Args:
        phase: The phase that the step belongs to.
        name: The step.
        counts: Whether the phase is reached only with it.
        finding: What was found, and where.
    """

    phase: int
    name: str
    counts: bool
    finding: Finding


@dataclass(frozen=True)
class Change:
    """A file that is to change; None stands for no file."""

    path: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> str:
        """One word for it."""
        if self.before is None:
            return "created"
        return "removed" if self.after is None else "changed"

    def diff(self) -> str:
        """Return it as a unified diff that ``patch`` and ``git apply`` take."""
        lines = difflib.unified_diff(
            _lines(self.before),
            _lines(self.after),
            "/dev/null" if self.before is None else f"a/{self.path}",
            "/dev/null" if self.after is None else f"b/{self.path}",
            n=_CONTEXT,
        )
        return "".join(line if line.endswith("\n") else f"{line}{_NO_NEWLINE}" for line in lines)


@dataclass(frozen=True)
class Plan:
    """A way from one phase to another.

    Args:
        start: The phase that the checkout is in.
        target: The phase that it will be in.
        before: The checkout as it is.
        after: The checkout as it will be.
    """

    start: int
    target: int
    before: Checkout
    after: Checkout

    @property
    def changes(self) -> list[Change]:
        """The files that are to change, by path."""
        paths = sorted({*self.before.texts, *self.after.texts})
        both = [(path, self.before.texts.get(path), self.after.texts.get(path)) for path in paths]
        return [Change(path, old, new) for path, old, new in both if old != new]

    @property
    def warnings(self) -> list[str]:
        """What somebody may miss afterwards."""
        return list(names_lost(self.before, self.after)) if self.target > self.start else []


def evidence(checkout: Checkout) -> list[Evidence]:
    """Look at every step.

    Raises:
        NotACheckout: The folder holds no StoryCore-Engine.
        UnfitFile: A file of it cannot be read.
    """
    checkout.check()
    return [Evidence(s.phase, s.name, s.counts, s.look(checkout)) for s in STEPS]


def phase_of(found: list[Evidence]) -> int:
    """Return the last phase that is complete, as are all before it."""
    for phase in range(1, len(PHASES)):
        if any(e.counts and not e.finding.done for e in found if e.phase == phase):
            return phase - 1
    return LAST


def plan(checkout: Checkout, target: int) -> Plan:
    """Find the edits that take a checkout to a phase, forwards or back.

    Raises:
        MigrationRefused: They cannot be made; the message says where and why.
    """
    if not 0 <= target <= LAST:
        raise MigrationRefused(f"There is no phase {target}: they are 0 to {LAST}.")
    start = phase_of(evidence(checkout))
    back = reached(checkout) > target
    after = _gone_back(checkout, target) if back else _gone_on(checkout, start, target)
    return Plan(start, target, checkout, after)


def reached(checkout: Checkout) -> int:
    """Return the furthest phase that has left anything in the files, complete or not."""
    regions = [r.phase for r in checkout.regions if r.name in _names(checkout, r.path)]
    return max([phase_of(evidence(checkout)), *regions])


def _gone_on(checkout: Checkout, start: int, target: int) -> Checkout:
    for phase in range(start + 1, target + 1):
        for step in steps_of(phase):
            checkout = step.taken(checkout)
    return checkout


def _gone_back(checkout: Checkout, target: int) -> Checkout:
    for region in reversed(checkout.regions):
        if region.phase > target:
            checkout = checkout.without(region)
    found = evidence(checkout)
    phase = phase_of(found)
    left = [e.finding for e in found if e.counts and e.phase == phase and e.finding.line]
    if phase > target and left:  # without anything left, there is no file that could go back
        where = "; ".join(f"{finding.path}, line {finding.line}" for finding in left)
        raise CannotGoBack(
            f"Phase {phase} is not all ours to take back: {where}.",
            hint="It was done by hand, or the record in .storycore-tts-migration is gone: undo it"
            " with git.",
        )
    return checkout


def _names(checkout: Checkout, path: str) -> set[str]:
    return names_in(checkout.texts.get(path, ""))


def _lines(text: str | None) -> list[str]:
    """Split at line feeds only, as diffs do."""
    return [] if not text else text.replace("\n", "\n\0").rstrip("\0").split("\0")
