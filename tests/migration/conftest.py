"""Checkouts as texts and as folders, and a way to compare them byte by byte."""

from pathlib import Path

import pytest

from storycore_tts.entrypoints.checkout import FOLDER, open_checkout, write
from storycore_tts.services.migration import evidence, phase_of, plan


@pytest.fixture
def contents():
    """Every file of a checkout but our backups: path -> bytes."""

    def read(root: Path) -> dict[str, bytes]:
        return {
            file.relative_to(root).as_posix(): file.read_bytes()
            for file in sorted(root.rglob("*"))
            if file.is_file() and FOLDER not in file.parts
        }

    return read


@pytest.fixture
def go():
    """Takes a checkout to a phase, and writes it."""

    def to(root: Path, target: int, **how):
        opened = open_checkout(root)
        return write(opened, plan(opened.checkout, target), **how)

    return to


@pytest.fixture
def phase():
    """The phase that a checkout is in."""

    def ask(root: Path) -> int:
        return phase_of(evidence(open_checkout(root).checkout))

    return ask
