"""A real ComfyUI server: what users see there, and whether the stand-in behaves as it does.

::

    python tests/live/comfyui.py http://127.0.0.1:8188 --models ComfyUI/models/qwen-tts

It prints two tables. The first has what users see in awkward cases. The second has what differs
between the server and the stand-in: the same experiments are recorded on both, and only the shapes
of answers and frames are compared. Small models and a CPU are enough. Without ``--models`` nothing
is moved on the server's disk, and the missing model is left out.
"""

# ruff: noqa: T201 - it prints its report

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from recording import compare
from seen import table


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="the server, such as http://127.0.0.1:8188")
    parser.add_argument("--models", type=Path, help="its models/qwen-tts, to take a model away")
    parser.add_argument("--device", default="auto", help="that the server has (%(default)s)")
    parser.add_argument("--only", choices=("seen", "compared"), help="one of the tables")
    given = parser.parse_args()
    if given.only != "compared":
        print("| point | what is asked | what a user sees |\n|---|---|---|", flush=True)
        asyncio.run(table(given.url, given.models))
    if given.only != "seen":
        print("\n| experiment | where | the server | the stand-in |\n|---|---|---|---|", flush=True)
        asyncio.run(compare(given.url, given.device))


if __name__ == "__main__":
    main()
