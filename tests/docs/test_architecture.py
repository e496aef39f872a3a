"""The adapter on the architecture page is one: installed, it keeps the contract and speaks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "documentation" / "ARCHITECTURE.md").read_text(encoding="utf-8")
ADAPTER, CONTRACT, SPEAKING = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(PROJECT,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"^storycore-tts (say .*)$", PAGE, re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Install it as pip would: a module, and metadata with its entry point; the environment."""
    packages = tmp_path / "packages"
    metadata = packages / "storycore_tts_hum-1.0.dist-info"
    metadata.mkdir(parents=True)
    (packages / "storycore_tts_hum.py").write_text(ADAPTER, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: storycore-tts-hum\n")
    (entry,) = re.findall(r'^(\w+) = "(storycore_tts_hum:\w+)"$', PROJECT, re.MULTILINE)
    points = f"[storycore_tts.adapters]\n{entry[0]} = {entry[1]}\n"
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
    path = [str(packages), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUTF8": "1"}


def run(*command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_keeps_the_contract(installed: dict[str, str], tmp_path: Path):
    (tmp_path / "test_hum.py").write_text(CONTRACT, encoding="utf-8")
    said = run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hum.py"),
        folder=tmp_path,
        environment=installed,
    )
    assert int(re.search(r"(\d+) passed", said)[1]) > 15


def test_it_speaks_through_open_tts(installed: dict[str, str], tmp_path: Path):
    run("-c", SPEAKING, folder=tmp_path, environment=installed)
    assert soundfile.info(tmp_path / "hum.wav").duration == pytest.approx(1.2)


def test_it_speaks_on_the_command_line(installed: dict[str, str], tmp_path: Path):
    words = ["say", "Hello there.", *COMMAND.partition('" ')[2].split()]
    run("-m", "storycore_tts.entrypoints.cli", *words, folder=tmp_path, environment=installed)
    assert soundfile.info(tmp_path / "hum.wav").duration == pytest.approx(1.2)


def test_it_is_short():
    """What an author writes, without imports and blank lines."""
    lines = [
        line for line in ADAPTER.splitlines() if line and not line.startswith(("import", "from"))
    ]
    assert len(lines) <= 30
