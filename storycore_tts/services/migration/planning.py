"""Plans the edits that take a checkout to another phase.

Plans start from the committed files. An uncommitted change is overwritten only if it was made by an
earlier run, complete or interrupted.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from storycore_tts.services.migration.checkout import MAIN_API, REQUIREMENTS, Checkout, Lines
from storycore_tts.services.migration.errors import CannotGoBack, LocalChanges, MigrationRefused
from storycore_tts.services.migration.regions import regions_in
from storycore_tts.services.migration.steps import (
    LAST,
    STEPS,
    Finding,
    Step,
    chosen,
    edited,
    has_tokens,
    names_lost,
    required,
)

Evidence: TypeAlias = list[tuple[Step, Finding]]
"""The steps, each with the finding whether it is done."""

_CONTEXT = 3  # lines around a change in a diff
_NO_NEWLINE = "\n\\ No newline at end of file\n"


@dataclass(frozen=True)
class Change:
    """A change of a file; None means that it does not exist."""

    path: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> str:
        """Kind of change, in one word."""
        if self.before is None:
            return "created"
        return "removed" if self.after is None else "changed"

    def diff(self) -> str:
        """Return the change as a unified diff for ``patch`` or ``git apply``."""
        lines = difflib.unified_diff(
            _lines(self.before),
            _lines(self.after),
            "/dev/null" if self.before is None else f"a/{self.path}",
            "/dev/null" if self.after is None else f"b/{self.path}",
            n=_CONTEXT,
        )
        whole = (line if line.endswith("\n") else f"{line}{_NO_NEWLINE}" for line in lines)
        return "".join(whole).encode("latin-1").decode(errors="replace")


@dataclass(frozen=True)
class Plan:
    """A migration from one phase to another, with the checkout ``before`` and ``after`` it."""

    start: int
    target: int
    before: Checkout
    after: Checkout

    @property
    def changes(self) -> list[Change]:
        """The changes, sorted by path."""
        paths = sorted({*self.before.texts, *self.after.texts})
        both = [(path, self.before.texts.get(path), self.after.texts.get(path)) for path in paths]
        return [Change(path, old, new) for path, old, new in both if old != new]

    @property
    def warnings(self) -> list[str]:
        """Effects that users of the engine may notice."""
        if self.target <= self.start:
            return []
        changed = {change.path: change.after or "" for change in self.changes}
        found = list(names_lost(self.before, self.after))
        if "create_editor_router" in changed.get(MAIN_API, ""):
            found.append(
                f"{MAIN_API}: speech routes require a token of the engine."
                if has_tokens(self.before)
                else f"{MAIN_API}: the engine requires no token, so any client that reaches it can"
                " generate speech, unless tts.qwen.server.api_keys is set."
            )
        line = required(changed.get(REQUIREMENTS, ""))
        if line and "file:" in line.group():
            found.append(
                f"{REQUIREMENTS}: this path is on this machine. The engine's image, and other"
                " machines, need an https address of a wheel: --requirement takes it."
            )
        return found


def evidence(checkout: Checkout) -> Evidence:
    """Find out which steps are done.

    Raises:
        NotACheckout: The folder is not a StoryCore-Engine checkout.
        UnfitFile: A file in it cannot be parsed.
    """
    checkout.check()
    return [(step, step.look(checkout)) for step in STEPS]


def phase_of(found: Evidence) -> int:
    """Return the last phase that is complete, with all phases before it."""
    missing = [step.phase for step, finding in found if not finding.done]
    return min([LAST + 1, *missing]) - 1


def reached(checkout: Checkout) -> int:
    """Return the latest phase with lines in the files, complete or not."""
    regions = [region.phase for _, region in checkout.regions()]
    return max([phase_of(evidence(checkout)), *regions])


def plan(now: Checkout, committed: Checkout, target: int, asked: Lines) -> Plan:
    """Plan the edits that take a checkout to a phase, forwards or back.

    Args:
        now: The checkout on disk.
        committed: The checkout as committed.
        target: The phase, 0 to 4.
        asked: Lines chosen for this call; other lines stay unchanged or take their defaults.

    Raises:
        MigrationRefused: The edits are not possible; the message says where and why.
    """
    if not 0 <= target <= LAST:
        raise MigrationRefused(f"There is no phase {target}; phases are 0 to {LAST}.")
    start = phase_of(evidence(now))
    shown = {name: now.written().get(name, lines) for name, lines in now.lines.items()}
    after = _at_phase(replace(committed, lines={**shown, **asked}), target)
    for name in asked:
        if after.written().get(name) != chosen(after, name):
            raise MigrationRefused(
                f"{name} is not written on the way to phase {target}.",
                hint="--requirement and --rollout are for the way to phase 1; then the lines are"
                " yours to change.",
            )
    ours = [committed, *_phases(replace(committed, lines=shown))]
    foreign = {
        path: now.texts.get(path)
        for path in sorted({*now.texts, *committed.texts, *after.texts})
        if not any(now.texts.get(path) == one.texts.get(path) for one in ours)
    }
    refused = [p for p, text in foreign.items() if _marks(p, text) != _marks(p, after.texts.get(p))]
    refused += [  # edited regions that would be removed
        path
        for path, region in now.regions()
        if edited(now.written()[region.name])
        and region.name not in _marks(path, after.texts.get(path))
        and path not in refused
        and now.texts[path] != committed.texts.get(path)
    ]
    if refused:
        raise LocalChanges(
            f"Changes that are not committed, in files to be written: {', '.join(refused)}.",
            hint=f"git add {shlex.join(refused)} && git commit -m 'My changes' keeps them in git;"
            " then run this again.",
        )
    texts = {path: text for path, text in {**after.texts, **foreign}.items() if text is not None}
    return Plan(start, target, now, replace(after, texts=texts))


def _at_phase(checkout: Checkout, target: int) -> Checkout:
    checkout = checkout.back_to(target)
    start = phase_of(evidence(checkout))
    for step in STEPS:
        if start < step.phase <= target:
            checkout = step.taken(checkout)
    found = evidence(checkout)
    phase = phase_of(found)
    done = [finding for step, finding in found if step.phase == phase]
    left = [f"{finding.path}, line {finding.line}" for finding in done if finding.line]
    if phase > target and left:  # if nothing is left, there is no file to restore
        raise CannotGoBack(
            f"Phase {phase} is not ours to take back: {'; '.join(left)}.",
            hint="It was reached by hand; take it back by hand, or with git.",
        )
    return checkout


def _phases(committed: Checkout) -> Iterator[Checkout]:
    """Yield the possible results of earlier runs on the committed files."""
    for phase in range(LAST + 1):
        try:
            yield _at_phase(committed, phase)
        except MigrationRefused:
            continue


def _marks(path: str, text: str | None) -> list[str]:
    return [region.name for region in regions_in(path, text or "")]


def _lines(text: str | None) -> list[str]:
    """Split at line feeds only, like diff tools."""
    return [] if not text else text.replace("\n", "\n\0").rstrip("\0").split("\0")
