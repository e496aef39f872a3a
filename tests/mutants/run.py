"""Make each mistake of the list in a copy of the repository, and see whether the tests notice it.

::

    make mutants
    python tests/mutants/run.py --only queue

The named tests first run on the code as it is, and must pass. A mutant is caught only if they then
run and fail (pytest's exit status 1); code that cannot even be collected proves nothing.
"""

# ruff: noqa: T201 - it prints its report

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mutants import ROOT, Mutant, load

TEST_SECONDS = 60  # for one test: one that hangs fails
RUN_SECONDS = 180  # for all tests of a mutant: longer, and the mutant is not caught
SETTINGS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "STORYCORE_TTS_FAULT_SEED": "0"}
# Only what the tests need: all plugins of the environment together take seconds to import.
PLUGINS = (
    "pytest_asyncio.plugin",
    "pytest_timeout",
    "_hypothesis_pytestplugin",
    "storycore_tts.testing.pytest_plugin",
)
PASSED, FAILED = 0, 1  # pytest's exit statuses
CAUGHT, SURVIVED, SKIPPED, BROKEN = "caught", "survived", "skipped", "broken"


@dataclass(frozen=True)
class Run:
    """What pytest said.

    Args:
        status: Its exit status; None if it did not end in time.
        output: What it printed.
        seconds: How long it took.
    """

    status: int | None
    output: str
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """Whether the tests noticed a mutant: "caught", "survived", "skipped" or "broken"."""

    mutant: Mutant
    outcome: str
    run: Run

    def __str__(self) -> str:
        where = f"{self.mutant.area}: {self.mutant.path}"
        return f"{self.outcome:<8} {self.run.seconds:6.1f} s  {where}: {self.mutant.breaks}"


class Copy:
    """A copy of the repository's files, in which one mutant at a time is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writes = 0
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        for path in filter(None, listed.split("\0")):
            if os.path.lexists(ROOT / path):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, folder / path, follow_symlinks=False)

    def judged(self, mutant: Mutant) -> Verdict:
        """Run a mutant's tests with the mutant in place, and take it out again."""
        file = self.folder / mutant.path
        before, stat = file.read_bytes(), file.stat()
        self._writes += 1
        try:
            file.write_text(mutant.mutated(self.folder), encoding="utf-8")
            # Python recognises stale bytecode by the time of the source, in whole seconds.
            os.utime(file, (stat.st_atime, int(stat.st_mtime) + self._writes))
            run = self.tested(mutant.tests)
        finally:
            file.write_bytes(before)
            os.utime(file, (stat.st_atime, stat.st_mtime))
        return Verdict(mutant, _outcome(run), run)

    def tested(self, tests: Sequence[str]) -> Run:
        """Run some tests on the copy as it is now."""
        began = time.monotonic()
        process = subprocess.Popen(
            [
                sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
                *(f"-p{plugin}" for plugin in PLUGINS),
                f"--timeout={TEST_SECONDS}", "--hypothesis-seed=0", *tests,
            ],
            cwd=self.folder,
            env={**os.environ, **SETTINGS, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )  # fmt: skip
        status: int | None = None
        try:
            output, _ = process.communicate(timeout=RUN_SECONDS)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Run(status, output, time.monotonic() - began)


def _outcome(run: Run) -> str:
    if run.status == FAILED:
        return CAUGHT
    if run.status == PASSED:
        return SURVIVED if " passed" in run.output else SKIPPED
    return BROKEN


def unmutated(copies: Sequence[Copy], mutants: Sequence[Mutant]) -> list[Run]:
    """Run all tests that any mutant names on the code as it is; return the runs that failed."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    shares = [tests[start :: len(copies)] for start in range(len(copies))]
    with ThreadPoolExecutor(len(copies)) as threads:
        runs = threads.map(lambda copy, share: copy.tested(share), copies, filter(None, shares))
        return [run for run in runs if run.status != PASSED]


def judge(copies: Sequence[Copy], mutants: Sequence[Mutant], *, quiet: bool) -> list[Verdict]:
    """Make every mutant once, as many at a time as there are copies."""
    free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for copy in copies:
        free.put(copy)

    def one(mutant: Mutant) -> Verdict:
        copy = free.get()
        try:
            return copy.judged(mutant)
        finally:
            free.put(copy)

    verdicts = []
    with ThreadPoolExecutor(len(copies)) as threads:
        for done in as_completed([threads.submit(one, mutant) for mutant in mutants]):
            verdicts.append(done.result())
            if not quiet:
                print(verdicts[-1], flush=True)
    return verdicts


def report(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    """Print what became of the mutants."""
    if as_json:
        rows = [
            {
                "area": verdict.mutant.area,
                "path": verdict.mutant.path,
                "breaks": verdict.mutant.breaks,
                "outcome": verdict.outcome,
                "seconds": round(verdict.run.seconds, 1),
            }
            for verdict in verdicts
        ]
        print(json.dumps(rows, indent=2))
        return
    for verdict in verdicts:
        if verdict.outcome == BROKEN:
            print(f"\n{verdict}\n{verdict.run.output[-2000:]}")
    judged = [verdict for verdict in verdicts if verdict.outcome != SKIPPED]
    if len(judged) < len(verdicts):
        print(f"{len(verdicts) - len(judged)} skipped: their tests need packages that are missing")
    caught = sum(verdict.outcome == CAUGHT for verdict in judged)
    print(f"{caught} of {len(judged)} caught")


def main() -> int:
    """Run the mutants that the arguments select; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="whose area, file or words hold it"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    options = parser.parse_args()
    mutants = [
        one for one in load() if options.only in f"{one.area}: {one.path}: {one.breaks} {one.tests}"
    ]
    if options.list:
        print(*(f"{one.area}: {one.path}: {one.breaks}" for one in mutants), sep="\n")
        return 0
    problems = [problem for one in mutants for problem in one.problems()]
    if problems or not mutants:
        print(*problems or ["no mutant is called that"], sep="\n", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="storycore-tts-mutants-") as folder:
        copies = [Copy(Path(folder) / str(number)) for number in range(max(1, options.jobs))]
        failed = unmutated(copies, mutants)
        for run in failed:
            print(f"The tests fail without any mutant:\n{run.output[-4000:]}", file=sys.stderr)
        if failed:
            return 2
        verdicts = judge(copies, mutants, quiet=options.json)
    report(verdicts, as_json=options.json)
    return int(any(verdict.outcome in (SURVIVED, BROKEN) for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
