"""The list of mutants: small mistakes in the product, each of which a test must notice.

Every file in ``areas`` holds a list ``MUTANTS`` of tuples: the mutated file, a text that occurs in
it exactly once, the text to put in its place, what that breaks, and the tests that notice it.
"""

from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
AREAS = Path(__file__).parent / "areas"


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Args:
        area: Name of the file in ``areas`` that lists it.
        path: The mutated file, relative to the repository.
        old: Text that occurs exactly once in it.
        new: Text to put in its place.
        breaks: What it breaks, in words.
        tests: Test files or node ids that notice it, relative to the repository.
    """

    area: str
    path: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]

    def mutated(self, root: Path = ROOT) -> str:
        """Return the text of the mutated file."""
        return (root / self.path).read_text(encoding="utf-8").replace(self.old, self.new)

    def problems(self, root: Path = ROOT) -> list[str]:
        """Say why the entry no longer fits the code or the tests; empty if it does."""
        file = root / self.path
        if not file.is_file():
            return [f"{self.path} does not exist"]
        found = file.read_text(encoding="utf-8").count(self.old)
        problems = [] if found == 1 else [f"{self.path} holds the old text {found} times"]
        if self.old == self.new:
            problems.append(f"{self.path}: the old text and the new one are the same")
        elif not _compiles(self.mutated(root), self.path):
            problems.append(f"{self.path}: the new text is not valid Python")
        if not self.tests:
            problems.append(f"{self.path}: no tests are named")
        return [
            *problems,
            *(f"{test} does not exist" for test in self.tests if not _is(root, test)),
        ]


def load(folder: Path = AREAS) -> list[Mutant]:
    """Return the mutants of all areas."""
    return [
        Mutant(file.stem, path, old, new, breaks, tuple(tests))
        for file in sorted(folder.glob("*.py"))
        for path, old, new, breaks, tests in runpy.run_path(str(file))["MUTANTS"]
    ]


def _compiles(text: str, path: str) -> bool:
    try:
        compile(text, path, "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _is(root: Path, test: str) -> bool:
    """Tell whether a test file exists, and has the test that a node id names."""
    path, *names = test.split("::")
    if not (root / path).exists():
        return False
    if not names:
        return True
    text = (root / path).read_text(encoding="utf-8")
    name = re.escape(names[-1].split("[")[0])
    return re.search(rf"^\s*(async )?def {name}\(", text, re.MULTILINE) is not None
