"""Each benchmark runs, and ends with one JSON object that holds what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROMISED = {
    "comfyui_overhead.py": {
        *("floor_ms", "ours_ms", "polling_ms", "ratio"),
        *("floor_50_ms", "ours_50_ms", "ratio_50"),
    },
}


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_a_benchmark_ends_with_its_figures(tmp_path: Path, name: str):
    command = [sys.executable, str(BENCHMARKS / name), "--json", "--rounds", "1"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=110, check=True
    )
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert set(figures) == PROMISED[name]
    assert all(figure > 0 for figure in figures.values())


def test_no_benchmark_goes_unnoticed():
    assert {path.name for path in BENCHMARKS.glob("*.py")} == set(PROMISED)
