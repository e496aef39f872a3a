"""What runs the programs in the documents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .forks import Forks


@pytest.fixture(scope="package")
def forks() -> Iterator[Forks]:
    running = Forks()
    yield running
    running.close()


@pytest.fixture
def standin_comfyui(standin_comfyui_factory):
    """A stand-in that does not make anybody wait."""
    return standin_comfyui_factory(instant=True)
