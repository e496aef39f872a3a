"""Checkouts as folders, and a way to compare them byte by byte."""

from pathlib import Path

import pytest

from storycore_tts.entrypoints.checkout import open_checkout, write
from storycore_tts.services.migration import (
    REQUIREMENT_STEP,
    SETTINGS_STEP,
    USUAL_SETTINGS,
    evidence,
    phase_of,
    plan,
)

LINES = {REQUIREMENT_STEP: ["storycore-tts[draft,server]"], SETTINGS_STEP: USUAL_SETTINGS}


@pytest.fixture
def opened():
    """Reads a checkout."""
    return lambda root, **how: open_checkout(root, LINES, **how)


@pytest.fixture
def contents():
    """Every file of a checkout but those of git: path -> bytes."""

    def read(root: Path) -> dict[str, bytes]:
        return {
            file.relative_to(root).as_posix(): file.read_bytes()
            for file in sorted(root.rglob("*"))
            if file.is_file() and ".git" not in file.parts and "__pycache__" not in file.parts
        }

    return read


@pytest.fixture
def go(opened):
    """Takes a checkout to a phase, and writes it."""

    def to(root: Path, target: int, *, settings=None, asked=None, **how) -> bool:
        found = opened(root, settings=settings)
        return write(found, plan(found.now, found.committed, target, asked or {}), **how)

    return to


@pytest.fixture
def phase(opened):
    """The phase that a checkout is in."""
    return lambda root: phase_of(evidence(opened(root).now))
