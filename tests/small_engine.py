"""An engine of a few lines, with the places that a migration looks for."""

import shutil
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "migration" / "small_engine"


def make_small_engine(folder: Path) -> Path:
    """Copy it, and give two of its files the habits of real ones: latin-1, no last line ending."""
    shutil.copytree(FILES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    old = folder / "src" / "qwen3_tts_integration.py"
    first, rest = old.read_bytes().decode().split("\n", 1)
    old.write_bytes(f"{first}\n# -*- coding: latin-1 -*-\n{rest}".encode("latin-1"))
    prompts = folder / "src" / "qwen3_tts_prompt_strategy.py"
    prompts.write_bytes(prompts.read_bytes().rstrip())
    return folder


@pytest.fixture
def small_engine(tmp_path: Path) -> Path:
    """A checkout of it."""
    return make_small_engine(tmp_path / "engine")
