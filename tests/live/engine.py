"""Runs this package inside a checkout of StoryCore-Engine, and shows what holds as a table.

    python tests/live/engine.py CHECKOUT --python CHECKOUT_VENV/bin/python

The checkout must start with that Python, and that Python must have this package with the extras
server and draft. Everything happens in clones of the checkout, in a temporary folder; ComfyUI is
the stand-in. The exit status is 1 if a check fails.
"""

# ruff: noqa: T201 - it prints its report

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import acting
import moving
import speaking
from workplace import Failed, Skipped, Workplace

CHECKS: dict[str, Callable[[Workplace], str]] = {
    "toggle-2": partial(speaking.toggle, phase=2),
    "toggle-3": partial(speaking.toggle, phase=3),
    "toggle-4": partial(speaking.toggle, phase=4),
    "comfyui-killed": speaking.comfyui_killed,
    "two-workers": speaking.two_workers,
    "two-engines": speaking.two_engines,
    "page": speaking.page,
    "tokens": speaking.tokens,
    "own-routes": speaking.own_routes,
    "own-health": speaking.own_health,
    "bad-settings": speaking.bad_settings,
    "characters": acting.characters,
    "scene": acting.scene,
    "there-and-back": moving.there_and_back,
    "at-once": moving.at_once,
    "dirty": moving.dirty,
    "without-git": moving.without_git,
    "killed": moving.killed,
    "addon": moving.addon,
    "requirements": moving.requirements,
}
_SLOW = "requirements"  # asks the package registry for some hundred packages


def main() -> int:
    """Run the checks that are asked for; the exit status."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="live-engine-", ignore_cleanup_errors=True) as folder:
        kept = given.keep or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        place = Workplace(given.checkout.resolve(), given.python.absolute(), kept, given.first_port)
        with place.comfyui:
            wanted = given.only or [name for name in CHECKS if name != _SLOW or given.resolve]
            results = [_run(name, place) for name in wanted]
    counts = {word: results.count(word) for word in ("pass", "FAIL", "skip") if word in results}
    print(", ".join(f"{number} {word}" for word, number in counts.items()))
    return 1 if "FAIL" in results else 0


def _run(name: str, place: Workplace) -> str:
    began = time.monotonic()
    try:
        result, detail = "pass", CHECKS[name](place)
    except Skipped as why:
        result, detail = "skip", str(why)
    except Failed as why:
        result, detail = "FAIL", str(why)
    except Exception:  # noqa: BLE001 - the table goes on; what went wrong is in it
        result, detail = "FAIL", traceback.format_exc(limit=-4)
    print(f"{result}  {name:<15} {time.monotonic() - began:6.1f} s  {detail}", flush=True)
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("checkout", type=Path, help="folder of StoryCore-Engine, a git work tree")
    add("--python", type=Path, required=True, help="the Python that runs it")
    add("--only", action="append", choices=CHECKS, help="one check; may be repeated")
    add("--first-port", type=int, help="ports from here on; without it, free ones")
    add("--keep", type=Path, metavar="FOLDER", help="put clones and logs there, and leave them")
    add("--resolve", action="store_true", help=f"{_SLOW} too, which is slow")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
