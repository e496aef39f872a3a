"""Checkpoint folders that are there complete or not at all."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "tiny_model.json"
"""In every checkpoint folder: the options that it was built with. By it a folder is known as
ours, and as finished, since it is only ever seen under its name when it is."""


def is_built(target: Path, options: Mapping[str, Any]) -> bool:
    """Whether the checkpoint is there, built with these options.

    Raises:
        FileExistsError: Something is there that was not built here; it is never replaced.
    """
    if not target.exists():
        return False
    manifest = target / MANIFEST
    if not manifest.is_file():
        raise FileExistsError(
            f"{target} exists and is no tiny model (it has no {MANIFEST}); choose another folder"
        )
    found: Any = json.loads(manifest.read_text(encoding="utf-8"))
    return bool(found == options)


@contextmanager
def finished(target: Path, options: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to build in, which becomes `target` when the block ends without an error.

    It replaces a tiny model with other options. If another process finished the same meanwhile,
    theirs stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        building = workshop / "new"
        building.mkdir()
        yield building
        write_json(building / MANIFEST, options)
        if is_built(target, options):
            return
        if target.exists():
            target.rename(workshop / "old")
        try:
            building.rename(target)
        except OSError:
            if not is_built(target, options):
                raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """The content as JSON, UTF-8."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_weights(path: Path, model: Any) -> None:
    """The model's parameters and buffers as safetensors, float32."""
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().float().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    # transformers refuses a file that does not say which framework wrote it.
    save_file(tensors, path, metadata={"format": "pt"})


def power_of_two_near(value: float) -> float:
    """The nearest power of two, by ratio.

    What was measured on a model is rounded by this before it scales weights: the last bits of a
    measurement differ between processors, and files should not.
    """
    return float(2.0 ** round(math.log2(value)))
