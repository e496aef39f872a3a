"""Each benchmark runs, and ends with one JSON object that holds what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROMISED = {
    "comfyui_overhead.py": {
        *("floor_ms", "ours_ms", "polling_ms", "ratio"),
        *("floor_50_ms", "ours_50_ms", "ratio_50"),
    },
    "direct_throughput.py": {"speedup", "of_batch", "first_chunk_share"},
    "service_load.py": {
        *("ours_per_s", "ours_p50_ms", "ours_p99_ms", "ours_alone_ms"),
        *("bare_per_s", "bare_p50_ms", "bare_p99_ms", "bare_alone_ms"),
        *("jobs_accepted_per_s", "jobs_done_per_s", "job_p50_ms"),
    },
    "first_byte.py": {
        *("draft_plain_1_first_s", "draft_stream_1_first_s"),
        *("draft_plain_6_last_s", "draft_stream_6_first_s"),
    },
    "marking.py": {
        *("wav_script_ms", "wav_plain_ms", "wav_tagged_ms", "wav_signed_ms", "wav_recorded_ms"),
        *("wav_script_bytes", "wav_tagged_bytes", "wav_signed_bytes", "consent_ms"),
    },
    "watermark.py": {
        *("load_s", "signal_to_mark_db", "embed_s_per_s", "detect_s_per_s"),
        *("found_share", "kinds_survived", "unmarked"),
    },
    "fallback_overhead.py": {"first_reach_ms", "reach_ms", "reach_p99_ms", "plain_ms", "ours_ms"},
}
SHORT = {
    "first_byte.py": ("--rounds", "1", "--backends", "draft"),
    "marking.py": ("--rounds", "1"),
    "watermark.py": ("--rounds", "1", "--unmarked", "2"),
    "service_load.py": ("--seconds", "0.3", "--clients", "2", "--lone-jobs", "2"),
    # A tiny model takes a minute for it on a CPU; the draft adapter falls back just so.
    "fallback_overhead.py": ("--rounds", "1", "--fallback", "draft"),
}
NEEDS = {"direct_throughput.py": ("direct", "qwen_tts"), "watermark.py": ("watermark", "perth")}
LONG = {"direct_throughput.py", "service_load.py"}  # a minute and more on a CPU
BY_LENGTH = [
    pytest.param(name, marks=pytest.mark.soak if name in LONG else ()) for name in sorted(PROMISED)
]


@pytest.mark.timeout(500)  # a busy machine takes some minutes for a round
@pytest.mark.parametrize("name", BY_LENGTH)
def test_a_benchmark_ends_with_its_figures(tmp_path: Path, name: str):
    """Whether its aims were met is the exit status, which a busy machine may miss."""
    extra, package = NEEDS.get(name, ("", ""))
    if extra and not (find_spec("torch") and find_spec(package)):
        pytest.skip(f"needs pip install 'storycore-tts[{extra}]'")
    command = [
        sys.executable,
        str(BENCHMARKS / name),
        "--json",
        *SHORT.get(name, ("--rounds", "1")),
    ]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=480, check=False
    )
    assert ended.stdout, ended.stderr
    figures = json.loads(ended.stdout.splitlines()[-1])
    assert set(figures) >= PROMISED[name]
    assert all(figures[figure] > 0 for figure in PROMISED[name])


def test_no_benchmark_goes_unnoticed():
    assert {path.name for path in BENCHMARKS.glob("*.py")} == set(PROMISED)
