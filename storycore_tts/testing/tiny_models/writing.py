"""Writes checkpoint folders atomically."""

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
"""Name of the file with the build options in every checkpoint folder. It identifies folders built
here. They are complete, since a folder gets its final name only when finished."""


def is_built(target: Path, options: Mapping[str, Any]) -> bool:
    """Return whether the checkpoint exists and was built with these options.

    Raises:
        FileExistsError: The path exists but was not built here; it is never replaced.
    """
    if not target.exists():
        return False
    manifest = target / MANIFEST
    if not manifest.is_file():
        raise FileExistsError(
            f"{target} exists and is not a tiny model (it has no {MANIFEST}); choose another folder"
        )
    found: Any = json.loads(manifest.read_text(encoding="utf-8"))
    return bool(found == options)


@contextmanager
def finished(target: Path, options: Mapping[str, Any]) -> Iterator[Path]:
    """Yield a folder to build in, which becomes `target` when the block ends without an error.

    It replaces a tiny model with other options. If another process has finished the same model in
    the meantime, that one is kept.
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
    """Write the content as JSON in UTF-8."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_weights(path: Path, model: Any) -> None:
    """Write the model's parameters and buffers as float32 safetensors."""
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().float().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    # transformers rejects files that do not name the framework that wrote them.
    save_file(tensors, path, metadata={"format": "pt"})


def power_of_two_near(value: float) -> float:
    """Return the nearest power of two, by ratio.

    Measurements of a model are rounded with this before they scale weights: their last bits differ
    between processors, but the files must not.
    """
    return float(2.0 ** round(math.log2(value)))
