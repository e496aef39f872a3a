"""The adapter on the architecture page is one: installed, it keeps the contract and speaks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import soundfile

from .forks import Forks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "documentation" / "ARCHITECTURE.md").read_text(encoding="utf-8")
ADAPTER, CONTRACT, SPEAKING = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(PROJECT,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"^storycore-tts (say .*)$", PAGE, re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, Any]:
    """Install it as pip would, a module and metadata with its entry point; how programs run."""
    packages = tmp_path / "packages"
    metadata = packages / "storycore_tts_hum-1.0.dist-info"
    metadata.mkdir(parents=True)
    (packages / "storycore_tts_hum.py").write_text(ADAPTER, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: storycore-tts-hum\n")
    (entry,) = re.findall(r'^(\w+) = "(storycore_tts_hum:\w+)"$', PROJECT, re.MULTILINE)
    points = f"[storycore_tts.adapters]\n{entry[0]} = {entry[1]}\n"
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
    return {"folder": tmp_path, "path": (str(packages),)}


def test_it_keeps_the_contract(forks: Forks, installed: dict[str, Any], tmp_path: Path):
    (tmp_path / "test_hum.py").write_text(CONTRACT, encoding="utf-8")
    said = forks.test("test_hum.py", **installed)
    assert int(re.search(r"(\d+) passed", said)[1]) > 15


def test_it_speaks(forks: Forks, installed: dict[str, Any], tmp_path: Path):
    """Through ``open_tts``, and on the command line."""
    (tmp_path / "speaking.py").write_text(SPEAKING, encoding="utf-8")
    forks.run("speaking.py", **installed)
    assert soundfile.info(tmp_path / "hum.wav").duration == pytest.approx(1.2)
    (tmp_path / "hum.wav").unlink()
    words = ["say", "Hello there.", *COMMAND.partition('" ')[2].split()]
    forks.run("-m", "storycore_tts.entrypoints.cli", *words, **installed)
    assert soundfile.info(tmp_path / "hum.wav").duration == pytest.approx(1.2)


def test_it_is_short():
    """What an author writes, without imports and blank lines."""
    lines = [
        line for line in ADAPTER.splitlines() if line and not line.startswith(("import", "from"))
    ]
    assert len(lines) <= 30
