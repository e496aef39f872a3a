"""Tiny models for the direct backend: built once, shared by all files and all workers of a run."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from storycore_tts.adapters.direct.package import load_package
from storycore_tts.testing.tiny_models import (
    Kind,
    Size,
    TinyModels,
    build_tiny_models,
)

MISSING = "needs pip install 'storycore-tts[direct]'"


@pytest.fixture(scope="session")
def tiny_torch() -> Any:
    """torch, where qwen_tts is there too; with one thread: the models are too small for more."""
    torch = pytest.importorskip("torch", reason=MISSING)
    if find_spec("qwen_tts") is None:
        pytest.skip(MISSING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's imports tell what this machine lacks
        load_package()
    torch.set_num_threads(1)
    return torch


def _shared(factory: pytest.TempPathFactory, name: str, **options: Any) -> TinyModels:
    """Build them in a folder that all workers of this run share; the first one builds."""
    from filelock import FileLock  # comes with torch

    run = factory.getbasetemp()
    if run.name.startswith("popen-"):  # a worker of pytest-xdist has a folder within the run's
        run = run.parent
    folder = Path(run, name)
    with FileLock(f"{folder}.lock"):
        return build_tiny_models(folder, **options)


@pytest.fixture(scope="session")
def tiny_models(tiny_torch: Any, tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Checkpoints of a few megabytes that the real package loads; leave them as they are."""
    return _shared(tmp_path_factory, "tiny-models")


@pytest.fixture(scope="session")
def endless_tiny_models(tiny_torch: Any, tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Models that never say "end"."""
    return _shared(tmp_path_factory, "endless-tiny-models", ends=False)


def _places(models: TinyModels) -> dict[str, str]:
    kinds: tuple[tuple[Kind, str], ...] = (("custom_voice", "CustomVoice"), ("base", "Base"))
    sizes: tuple[Size, ...] = ("0.6B", "1.7B")
    return {
        f"{size}-{name}": str(models.path(kind, size)) for size in sizes for kind, name in kinds
    }


@pytest.fixture(scope="session")
def tiny_places(tiny_models: TinyModels) -> dict[str, str]:
    """Where the tiny models are, as the setting ``direct.models`` takes it."""
    return _places(tiny_models)


@pytest.fixture(scope="session")
def endless_tiny_places(endless_tiny_models: TinyModels) -> dict[str, str]:
    """Where the endless ones are."""
    return _places(endless_tiny_models)
