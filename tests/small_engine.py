"""An engine of a few lines, with the places that a migration looks for and the real one's traps."""

import shutil
import subprocess
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "migration" / "small_engine"
_AS = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")


def git(folder: Path, *arguments: str) -> str:
    """Run git, and return what it says."""
    command = ["git", "-C", str(folder), *_AS, "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    """Commit all that is there."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "As it is")


def make_small_engine(folder: Path) -> Path:
    """Copy it, give two of its files the habits of real ones, and commit it.

    The habits are latin-1, and no last line ending.
    """
    shutil.copytree(FILES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    old = folder / "src" / "qwen3_tts_integration.py"
    first, rest = old.read_bytes().decode().split("\n", 1)
    old.write_bytes(f"{first}\n# -*- coding: latin-1 -*-\n{rest}".encode("latin-1"))
    prompts = folder / "src" / "qwen3_tts_prompt_strategy.py"
    prompts.write_bytes(prompts.read_bytes().rstrip())
    git(folder, "init", "-q")
    commit(folder)
    return folder


@pytest.fixture(scope="session")
def committed_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that is only copied."""
    return make_small_engine(tmp_path_factory.mktemp("small") / "engine")


@pytest.fixture
def small_engine(committed_engine: Path, tmp_path: Path) -> Path:
    """A checkout of it."""
    return shutil.copytree(committed_engine, tmp_path / "engine")
