"""Verifies loaded models against their files.

Some versions of transformers load a checkpoint without an error but leave weights or the buffers of
rotary position embeddings uninitialized; such a model generates noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storycore_tts.adapters.direct.failures import BACKEND
from storycore_tts.adapters.direct.installed import INSTALL, Installed
from storycore_tts.adapters.direct.package import rope_frequencies
from storycore_tts.errors import BackendUnavailable

_NAMED = 3  # weights listed in a message


def check(module: Any, folder: Path) -> None:
    """Compare a loaded module with its checkpoint.

    Only the first row of each weight is read, so this takes a fraction of the loading time.

    Args:
        module: A torch module from transformers.
        folder: The folder of its ``model.safetensors``.

    Raises:
        BackendUnavailable: The weights differ.
    """
    wrong = [*_wrong_frequencies(module), *_wrong_weights(module, folder / "model.safetensors")]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        misfit = Installed.here().misfit()
        raise BackendUnavailable(
            f"The model was not loaded correctly: {', '.join(wrong[:_NAMED])}{more} in memory "
            f"differ from {folder}. The model would generate noise.",
            hint=str(misfit or f"Install compatible versions: {INSTALL}"),
            backend=BACKEND,
            retryable=False,
        )


def _wrong_frequencies(module: Any) -> Iterator[str]:
    """Yield the names of RoPE buffers that do not match their config."""
    import torch

    for name, part in module.named_modules():
        found = getattr(part, "inv_freq", None)
        if found is None or getattr(part, "rope_type", "default") != "default":
            continue
        expected = rope_frequencies(part.config)
        same = found.shape == expected.shape
        if not same or not torch.allclose(found.float().cpu(), expected, rtol=1e-2, atol=0):
            yield f"{name}.inv_freq"


def _wrong_weights(module: Any, file: Path) -> Iterator[str]:
    """Yield the names of weights whose first row differs from the file."""
    import torch
    from safetensors import safe_open

    loaded = module.state_dict()
    with safe_open(file, framework="pt") as stored:
        for name in sorted(set(stored.keys()) & set(loaded)):
            rows = stored.get_slice(name)
            here = loaded[name]
            if list(rows.get_shape()) != list(here.shape):
                yield name
                continue
            expected = rows[:1] if rows.get_shape() else stored.get_tensor(name)
            found = here[:1] if here.ndim else here
            same = {"rtol": 0.0, "atol": 0.0, "equal_nan": True}  # the file may contain NaN
            if not torch.allclose(found.cpu(), expected.to(found.dtype), **same):
                yield name
